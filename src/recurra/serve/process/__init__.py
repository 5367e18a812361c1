"""From the operating system to the application: listening, connections, signals, keys, limits, logs and workers."""
