"""Steps environments of Gymnasium for Agon, which sent this package to the process that runs it."""


class Unfit(Exception):
    """Something that an environment gave, or is, does not fit; the message says all."""
