"""The FunctionApp and its blueprints, nothing else. Importing this never fails for configuration."""

import azure.functions as func

from functions import commands, intake, operations, progress, sources

# No function keys: App Service Authentication says who calls, and every route but health asks for a role.
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(intake.blueprint)
app.register_functions(progress.blueprint)
app.register_functions(operations.blueprint)
app.register_functions(commands.blueprint)
app.register_functions(sources.blueprint)
