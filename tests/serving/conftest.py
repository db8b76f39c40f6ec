"""Servers that the tests of this folder share: a fake one, and the embedded one with tiny models.

Imports are inside: parts of these tests run where TensorFlow or the extra [serving] is not.
"""

import pytest

SLOW = 500  # rounds: some tenths of a second


@pytest.fixture
def service():
    """A PredictionService without a model, that a test tells how to answer."""
    from tests.support.fake_service import FakeService

    return FakeService()


@pytest.fixture
def address(service):
    """HOST:PORT at which `service` listens."""
    from tests.support.fake_service import serving

    with serving(service) as address:
        yield address


def _tiny_models(factory, **options):
    from serving import contract
    from tests.support.tiny_models import write_model

    folder = factory.mktemp("models")
    write_model(folder / contract.MODEL_NAME, 1, **options)
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder of models with a tiny one; not to be changed."""
    return _tiny_models(tmp_path_factory)


@pytest.fixture(scope="session")
def slow_models(tmp_path_factory):
    """The same with one that takes some tenths of a second."""
    return _tiny_models(tmp_path_factory, slow=SLOW)


@pytest.fixture(scope="session")
def running(models):
    """An embedded server of `models` in this process, with HTTP."""
    from tests.support.servers import serve

    with serve(models, http_port=0) as running:
        yield running


@pytest.fixture(scope="session")
def caller(running):
    """Calls of `running`."""
    from tests.support.serving_calls import Caller

    with Caller(running.port) as caller:
        yield caller
