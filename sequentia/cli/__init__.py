"""The ``sequentia`` command. Results go to stdout, everything else to stderr; each command imports what it needs."""

import signal
from importlib import import_module
from typing import Final

import click

from sequentia import __version__

from .errors import Commands, end_by_signal
from .streams import open_closed_descriptors

_MODULES: Final = {
    "compose": ".compose",
    "evaluate": ".inspect",
    "export": ".train",
    "find-lr": ".train",
    "generate": ".generate",
    "info": ".inspect",
    "mix": ".mix",
    "models": ".inspect",
    "page": ".page",
    "plot": ".train",
    "pull": ".hub",
    "push": ".hub",
    "recipes": ".inspect",
    "reproduce": ".reproduce",
    "score": ".score",
    "sweep": ".sweep",
    "train": ".train",
}

_FIRST_STEPS = """\
Sequentia learns from a list of names, or of anything, and invents more of them.

  sequentia generate                         ten names
  sequentia generate 5 --prefix mar --novel  five that start so, and are not in the model's list
  sequentia train list.txt -o mine           a model of your own list, one item a line
  sequentia generate --model mine            names from it
  sequentia page mine -o mine.html           a web page of it, to send or to host

sequentia --help lists all commands."""


class _OwnCommands(Commands):
    """The commands; the module of each is imported when it is asked for."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - part of the interface
        if cmd_name not in _MODULES:
            return None
        command: click.Command = getattr(import_module(_MODULES[cmd_name], __name__), cmd_name.replace("-", "_"))
        return command


@click.group(
    cls=_OwnCommands,
    commands=[click.Command(name) for name in _MODULES],  # only their names are used
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.version_option(__version__, message="%(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Invent names, and train models on your own lists."""
    if context.invoked_subcommand is None:
        click.echo(_FIRST_STEPS)


def main() -> None:
    """Run the command line and exit."""
    open_closed_descriptors()
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, end_by_signal)
    cli(prog_name="sequentia")
