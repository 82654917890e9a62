"""The command that lets a shell complete names, and the completion of what stands in a project."""

# Annotations are no texts here: Typer would compile each of every command at every start.
from typing import Annotated, Literal

import typer

VARIABLE = "_FLOWPIPE_COMPLETE"
Shell = Literal["bash", "zsh", "fish"]


def begin() -> None:
    """Let Typer answer a shell that asks; the command need not know the shells otherwise."""
    from typer.completion import completion_init  # type: ignore[attr-defined]  # it lists no exports

    completion_init()


def completion(shell: Annotated[Shell, typer.Argument(help="The shell to complete in.", show_default=False)]) -> None:
    """Print what lets a shell complete commands, pipelines, datasets, profiles, windows and runs.

    Example: eval "$(flowpipe completion bash)"

    Example: flowpipe completion fish > ~/.config/fish/completions/flowpipe.fish
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # it lists no exports

    typer.echo(get_completion_script(prog_name="flowpipe", complete_var=VARIABLE, shell=shell))
