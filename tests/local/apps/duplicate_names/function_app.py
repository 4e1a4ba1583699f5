"""Two functions of one name: the worker refuses both."""

import azure.functions as func

app = func.FunctionApp()


@app.function_name("health")
@app.route(route="health")
def health(req: func.HttpRequest) -> str:
    return "one"


@app.function_name("health")
@app.route(route="health2")
def also_health(req: func.HttpRequest) -> str:
    return "two"
