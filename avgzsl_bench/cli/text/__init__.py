"""`avgzsl text`: class texts and the encoders that turn them into vectors, one file a verb."""

import typer

from avgzsl_bench.cli.text import ablation, audit, compare, describe, encode, fetch, import_, lint, list, show

app = typer.Typer(help="Look at class texts, make and encode them, and get what encoders need.", no_args_is_help=True)
app.command("describe", epilog=describe.EPILOG)(describe.command)
app.command("fetch", epilog=fetch.EPILOG)(fetch.command)
app.command("list", epilog=list.EPILOG)(list.command)
app.command("show", epilog=show.EPILOG)(show.command)
app.command("encode", epilog=encode.EPILOG)(encode.command)
app.command("compare", epilog=compare.EPILOG)(compare.command)
app.command("audit", epilog=audit.EPILOG)(audit.command)
app.command("lint", epilog=lint.EPILOG)(lint.command)
app.command("import", epilog=import_.EPILOG)(import_.command)
app.command("ablation", epilog=ablation.EPILOG)(ablation.command)
