"""The server: HTTP over any Store, as docs/formats/protocol.md has it. Nothing but `ml-dash server` loads it."""
