"""The proof: days of the service under every fault at once, in virtual time, replayed from a seed."""
