"""Speed, measured: CPU per job and ratios within one run."""
