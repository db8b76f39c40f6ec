"""Data URLs: read back by the standard library's own reader."""

from urllib.request import urlopen

from hypothesis import given
from hypothesis import strategies as st

from data_gen.io.data_urls import data_url


@given(st.binary())
def test_a_url_holds_the_bytes_and_their_type(data):
    with urlopen(data_url(data, "image/png")) as opened:
        assert opened.read() == data
        assert opened.headers.get_content_type() == "image/png"
