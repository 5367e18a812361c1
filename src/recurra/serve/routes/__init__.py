"""The handlers of the addresses of the server."""
