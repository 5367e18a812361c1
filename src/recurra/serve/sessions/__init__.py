"""Sessions: sequences that arrive step by step, with a state on the server.

The event loop owns the table of sessions. It accepts steps, keeps their order and expires sessions. The engine thread
owns states: it advances one step of many sessions in one call, and saves them before the answers are sent.
"""
