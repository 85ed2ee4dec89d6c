"""Parts of the circuit benchmark."""
