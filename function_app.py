"""The FunctionApp and its blueprints, nothing else. Importing this never fails for configuration."""

import azure.functions as func

from functions import intake, operations, progress

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
app.register_functions(intake.blueprint)
app.register_functions(progress.blueprint)
app.register_functions(operations.blueprint)
