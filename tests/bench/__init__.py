"""Time and memory of the whole pipeline on base rows of the published size, beside a plain baseline."""
