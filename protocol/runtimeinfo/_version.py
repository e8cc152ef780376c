"""The version of the distribution, and of the spec that it carries."""

__version__ = "0.1.0"

SPEC_VERSION = "0.1"
"""The spec's version. Requirements are frozen per spec version: see `Requirement.since`."""
