"""The commands of `dmenet` that this package declares (`data_gen/commands.py` says how)."""

from types import ModuleType

from data_gen.commands import Command


def _export() -> ModuleType:
    from serving import export

    return export


def _serve() -> ModuleType:
    from serving import server

    return server


def _page() -> ModuleType:
    from serving import page

    return page


export = Command(_export, "write a SavedModel for serving", extra="serving")
serve = Command(_serve, "answer requests on this machine", extra="serving")
page = Command(_page, "a web page: drop a photo, see where it is sharp", extra="demo")
