"""The machine: its CPU, memory and allocator."""
