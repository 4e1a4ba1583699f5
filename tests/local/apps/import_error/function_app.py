"""An app that lacks a module: the worker finds no functions in it."""

import a_module_nobody_installed
import azure.functions as func

app = func.FunctionApp()


@app.route(route="health")
def health(req: func.HttpRequest) -> str:
    return a_module_nobody_installed.text
