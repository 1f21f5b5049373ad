"""The command line: `tfp_realnvp train|evaluate|sample|export`."""
