"""`avgzsl plot`: pictures of records and runs, one file a kind."""

import typer

from avgzsl_bench.cli.plot import classes, confusion, curve, embedding, sweep, training

app = typer.Typer(help="Draw records and runs for a paper: PNG, PDF and SVG.", no_args_is_help=True)
app.command("curve", epilog=curve.EPILOG)(curve.command)
app.command("classes", epilog=classes.EPILOG)(classes.command)
app.command("confusion", epilog=confusion.EPILOG)(confusion.command)
app.command("embedding", epilog=embedding.EPILOG)(embedding.command)
app.command("training", epilog=training.EPILOG)(training.command)
app.command("sweep", epilog=sweep.EPILOG)(sweep.command)
