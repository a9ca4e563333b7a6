"""The line: work waits in the room, the pump takes it to the gate, the publisher hands grants to workers."""
