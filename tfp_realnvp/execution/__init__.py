"""How a batch is worked on: plans, devices, parts of rows, graphs."""
