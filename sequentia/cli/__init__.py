"""The ``sequentia`` command. Results go to stdout, everything else to stderr; each command imports what it needs."""

import signal

import click

from sequentia import __version__

from .compose import compose
from .errors import Commands, end_by_signal
from .generate import generate
from .hub import pull, push
from .inspect import evaluate, info, models, recipes
from .mix import mix
from .page import page
from .reproduce import reproduce
from .score import score
from .streams import open_closed_descriptors
from .sweep import sweep
from .train import export, find_lr, plot, train

_FIRST_STEPS = """\
Sequentia learns from a list of names, or of anything, and invents more of them.

  sequentia generate                         ten names
  sequentia generate 5 --prefix mar --novel  five that start so, and are not in the model's list
  sequentia train list.txt -o mine           a model of your own list, one item a line
  sequentia generate --model mine            names from it
  sequentia page mine -o mine.html           a web page of it, to send or to host

sequentia --help lists all commands."""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(__version__, message="%(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Invent names, and train models on your own lists."""
    if context.invoked_subcommand is None:
        click.echo(_FIRST_STEPS)


for command in (
    generate,
    compose,
    score,
    info,
    evaluate,
    models,
    recipes,
    train,
    mix,
    sweep,
    find_lr,
    plot,
    reproduce,
    export,
    page,
    push,
    pull,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit."""
    open_closed_descriptors()
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, end_by_signal)
    cli(prog_name="sequentia")
