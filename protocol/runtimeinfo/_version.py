"""The version of the distribution, and of the spec that it carries."""

__version__ = "0.1.0"

SPEC_VERSIONS = ("0.1", "0.2", "0.3")
"""The spec's versions, oldest first. Each requirement belongs to one: see `Requirement.since`."""

SPEC_VERSION = SPEC_VERSIONS[-1]
"""The newest version of the spec."""
