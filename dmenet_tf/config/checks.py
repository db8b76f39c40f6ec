"""Checks that several of the configuration's classes make."""


def check_positive(config, section: str, *names: str) -> None:
    """Raises ValueError unless each of the fields is above 0."""
    for name in names:
        value = getattr(config, name)
        if not value > 0:
            raise ValueError(f"{section}.{name} must be above 0; received {value}")
