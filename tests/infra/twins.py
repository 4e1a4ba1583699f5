"""Changes of one side that a check must notice: for each check, where, what is put for what, and what it then says."""

from __future__ import annotations

M = "infra/modules/"
MAIN = "infra/main.bicep"
ADF = "infra/adf/pipeline/"
FILTERS = "infra/event-subscriptions.json"
ROLES = "infra/roles.json"
HOST = "infra/host-settings.json"

TWINS: dict[str, list[tuple[str, str, str, str]]] = {
    "security.every_variant_deploys": [
        (f"{M}lake.bicep", "output location ", "output place ", "modules/lake.bicep has no output location"),
        (
            f"{M}lake.bicep",
            "param skuName string = 'Standard_LRS'",
            "param skuName string",
            "needs the parameter skuName",
        ),
        (MAIN, "zones: virtualNetwork.outputs.zones", "zone: virtualNetwork.outputs.zones", "has no parameter zone"),
        (MAIN, "delivery: 'queue'", "delivery: 'queues'", "isolated: main.bicep:"),
        (
            f"{M}roles.bicep",
            "param useBuiltInRoles bool",
            "param useBuiltInRoles string",
            "False is not of type string",
        ),
        (f"{M}workspace.bicep", "keyVault: vault.id", "keyVault: vaults.id", "nothing is called vaults"),
        (MAIN, "name: 'lake-events-${token}'", "name: 'workspace-events-${token}'", "queue: deployed more than once"),
        ("infra/events.bicep", "source: 'lake'", "source: 'sea'", "events.bicep, default:"),
    ],
    "security.a_webhook_into_isolation_is_refused": [
        (MAIN, "'${fail(refused)}'", "'webhook'", "webhook with networkIsolation is deployed"),
        (MAIN, "exclude each other", "do not go together", "webhook with networkIsolation fails otherwise"),
    ],
    "security.nothing_takes_keys": [
        (
            f"{M}app-storage.bicep",
            "allowSharedKeyAccess: false",
            "allowSharedKeyAccess: true",
            "allowSharedKeyAccess is True",
        ),
        (f"{M}lake.bicep", "    allowSharedKeyAccess: false\n", "", "allowSharedKeyAccess is None"),
        (
            f"{M}workspace.bicep",
            "allowSharedKeyAccess: false",
            "allowSharedKeyAccess: true",
            "allowSharedKeyAccess is True",
        ),
        (f"{M}workspace.bicep", "adminUserEnabled: false", "adminUserEnabled: true", "adminUserEnabled is True"),
        (f"{M}workspace.bicep", "'Identity'", "'AccessKey'", "systemDatastoresAuthMode is 'AccessKey'"),
        (
            f"{M}workspace.bicep",
            "enableRbacAuthorization: true",
            "enableRbacAuthorization: false",
            "enableRbacAuthorization",
        ),
        (f"{M}events-topic.bicep", "disableLocalAuth: true", "disableLocalAuth: false", "disableLocalAuth is False"),
        (f"{M}monitoring.bicep", "DisableLocalAuth: true", "DisableLocalAuth: false", "DisableLocalAuth is False"),
        (f"{M}compute.bicep", "disableLocalAuth: true", "disableLocalAuth: false", "disableLocalAuth is False"),
        (
            f"{M}compute.bicep",
            "credentialsType: 'None'",
            "credentialsType: 'AccountKey'",
            "credentialsType is 'AccountKey'",
        ),
        (f"{M}endpoints.bicep", "authMode: 'AADToken'", "authMode: 'Key'", "authMode is 'Key'"),
        (f"{M}function-app.bicep", "httpsOnly: true", "httpsOnly: false", "httpsOnly is False"),
        (
            f"{M}function-app.bicep",
            "type: 'UserAssignedIdentity'",
            "type: 'StorageAccountConnectionString'",
            "authentication",
        ),
        (f"{M}function-app.bicep", "allow: false", "allow: true", "allow is True"),
        (f"{M}function-app.bicep", "name: 'scm'", "name: 'web'", "passwords are not off"),
    ],
    "security.the_api_takes_its_registrations_tokens": [
        (f"{M}function-app.bicep", "name: 'authsettingsV2'", "name: 'authsettings'", "has no authsettingsV2"),
        (f"{M}function-app.bicep", "requireAuthentication: false", "requireAuthentication: true", "is True, not False"),
        (f"{M}function-app.bicep", "'AllowAnonymous'", "'RedirectToLoginPage'", "is 'RedirectToLoginPage'"),
        (f"{M}function-app.bicep", "requireHttps: true", "requireHttps: false", "requireHttps is False"),
        (
            f"{M}function-app.bicep",
            "tokenStore: {\n          enabled: false",
            "tokenStore: {\n          enabled: true",
            "tokenStore.enabled is True",
        ),
        (
            f"{M}function-app.bicep",
            "platform: {\n        enabled: !empty(apiClientId)",
            "platform: {\n        enabled: true",
            "default: properties.platform.enabled is True",
        ),
        (f"{M}function-app.bicep", "clientId: apiClientId", "clientId: identityClientId", "registration.clientId is"),
        (f"{M}function-app.bicep", "['api://${apiClientId}', apiClientId]", "['api://${apiClientId}']", "are taken"),
        (f"{M}function-app.bicep", "${subscription().tenantId}/v2.0", "common", "tokens of"),
        (MAIN, "'' : 'api://${apiClientId}'", "'' : apiClientId", "are told of the audience"),
        (
            MAIN,
            "    apiClientId: apiClientId\n",
            "    apiClientId: ''\n",
            "others: properties.platform.enabled is False",
        ),
    ],
    "security.isolation_shuts_every_door": [
        *(
            (
                f"{M}{file}",
                "publicNetworkAccess: networkIsolation ? 'Disabled' : 'Enabled'",
                "publicNetworkAccess: 'Enabled'",
                "publicNetworkAccess is Enabled",
            )
            for file in (
                "lake.bicep",
                "function-app.bicep",
                "events-topic.bicep",
                "data-factory.bicep",
                "endpoints.bicep",
            )
        ),
        (
            f"{M}workspace.bicep",
            "var publicAccess = networkIsolation ? 'Disabled'",
            "var publicAccess = networkIsolation ? 'Enabled'",
            "vault ",
        ),
        (f"{M}app-storage.bicep", "networkIsolation ? 'Deny' : 'Allow'", "'Allow'", "its firewall is"),
        (f"{M}app-storage.bicep", "bypass: 'AzureServices'", "bypass: 'None'", "its firewall is"),
    ],
    "security.isolation_has_another_way_in": [
        (
            MAIN,
            "resourceId: lakeId, groupId: 'dfs'",
            "resourceId: lakeId, groupId: 'blob'",
            "no private endpoint for dfs",
        ),
        (MAIN, "resourceId: vaultId", "resourceId: lakeId", "no private endpoint for vault"),
        (MAIN, "groupId: 'table'", "groupId: 'file'", "no private endpoint for table"),
        (
            MAIN,
            "= if (networkIsolation) {\n  name: 'private-endpoints'",
            "= if (!networkIsolation) {\n  name: 'private-endpoints'",
            "virtualNetwork",
        ),
    ],
    "security.private_names_are_in_their_zones": [
        (
            f"{M}virtual-network.bicep",
            "  'privatelink.eventgrid.azure.net'\n",
            "",
            "there is no 'privatelink.eventgrid.azure.net'",
        ),
        (
            f"{M}private-endpoints.bicep",
            "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
            "Microsoft.Network/privateEndpoints/zoneGroups",
            "nothing is named in",
        ),
        (MAIN, "zoneNames: ['privatelink.eventgrid.azure.net']", "zoneNames: [blobZone]", "nothing is named in"),
    ],
    "security.isolation_gives_ways_in_and_out": [
        (f"{M}virtual-network.bicep", "'Microsoft.App/environments'", "'Microsoft.Web/serverFarms'", "is delegated to"),
        (
            MAIN,
            "virtualNetwork.outputs.functionSubnetId",
            "virtualNetwork.outputs.endpointSubnetId",
            "is delegated to []",
        ),
        (f"{M}workspace.bicep", "'AllowInternetOutbound'", "'Disabled'", "have no network"),
        (f"{M}data-factory.bicep", "networkIsolation ? privateTargets : []", "[]", "have no way"),
        (f"{M}workspace-outbound.bicep", "for target in targets:", "for target in take(targets, 1):", "no way to"),
    ],
    "security.everything_is_tagged": [
        (f"{M}lake.bicep", "  tags: tags\n", "", "has no tag product"),
        (MAIN, "  product: 'relearn'", "  produkt: 'relearn'", "has no tag product"),
        (f"{M}alerts.bicep", "  tags: tags\n", "", "modules/alerts.bicep"),
        (f"{M}workbook.bicep", "  tags: tags\n", "", "modules/workbook.bicep"),
        (MAIN, "tags: tagsOf.orchestration", "tags: {}", "modules/data-factory.bicep: factory"),
    ],
    "security.names_fit_azures_limits": [
        (
            MAIN,
            "'strelearnml${token}'",
            "'strelearnlearning${token}'",
            "is no name of a Microsoft.Storage/storageAccounts",
        ),
        (MAIN, "'kv-relearn-${token}'", "'vault-relearn-${token}'", "is no name of a Microsoft.KeyVault/vaults"),
    ],
    "security.topics_belong_to_their_sources": [
        (MAIN, "source: workspaceId", "source: lakeId", "has more than one topic"),
        (f"{M}system-topic.bicep", "type: 'SystemAssigned'", "type: 'None'", "identity"),
    ],
    "settings.settings_are_those_that_are_read": [
        ("shared/settings.py", '"RELEARN_ARM_ENDPOINT"', '"RELEARN_ARM_ADDRESS"', "RELEARN_ARM_ADDRESS is missing"),
        ("shared/settings.py", 'read.optional("AZURE_CLIENT_ID")', "None", "AZURE_CLIENT_ID is too much"),
        ("reactions.yaml", "${DIABETES_ENDPOINT}", "${DIABETES_PLACE}", "DIABETES_PLACE is missing"),
        (MAIN, "RELEARN_ARM_ENDPOINT:", "RELEARN_ARM_ADDRESS:", "RELEARN_ARM_ENDPOINT is missing"),
        (
            f"{M}function-app.bicep",
            "concat(hostSettings, ownSettings)",
            "concat(ownSettings, [])",
            "of the host's table is not set",
        ),
        (
            HOST,
            '"name": "RelearnStorage__credential"',
            '"name": "RELEARN_RULES"',
            "RELEARN_RULES is the host's and the product's",
        ),
    ],
    "settings.the_sample_names_the_same_settings": [
        ("local.settings.sample.json", '"RELEARN_RULES"', '"RELEARN_RULE"', "RELEARN_RULE is too much"),
        ("shared/settings.py", '"RELEARN_ARM_ENDPOINT"', '"RELEARN_ARM_ADDRESS"', "RELEARN_ARM_ADDRESS is missing"),
        ("reactions.yaml", "${DIABETES_ENDPOINT}", "${DIABETES_PLACE}", "DIABETES_PLACE is missing"),
        (HOST, '"place": "sample"', '"place": "bicep"', "FUNCTIONS_WORKER_RUNTIME is too much"),
    ],
    "settings.the_product_takes_what_is_set": [
        (
            MAIN,
            "RELEARN_ARM_ENDPOINT: environment().resourceManager",
            "RELEARN_ARM_ENDPOINT: 'http://arm'",
            "must be an https address",
        ),
        (
            MAIN,
            "RELEARN_DATA_FACTORY_ID: dataFactoryId",
            "RELEARN_DATA_FACTORY_ID: workspaceId",
            "is not the resource id",
        ),
        (
            MAIN,
            "RELEARN_LAKE_BLOB_SERVICE_URIS: 'https://${lakeName}.",
            "RELEARN_LAKE_BLOB_SERVICE_URIS: 'https://lake.",
            "lake is too much",
        ),
        (
            "shared/settings.py",
            "Microsoft.DataFactory/factories",
            "Microsoft.DataFactory/factory",
            "is not the resource id",
        ),
    ],
    "settings.the_hosts_table_gives_reasons": [
        (HOST, '"reason": "', '"because": "', "has no reason"),
        (HOST, '"place": "both"', '"place": "here"', "has no place"),
        (HOST, '"valueFrom": "appClientId"', '"from": "appClientId"', "told where it comes from"),
        (
            "functions/intake.py",
            '"receive_queued_event"',
            '"receive_event_by_queue"',
            "there is no function receive_queued_event",
        ),
    ],
    "settings.no_setting_is_forbidden": [
        (HOST, '"place": "sample"', '"place": "both"', "FUNCTIONS_WORKER_RUNTIME cannot be set"),
        (MAIN, "RELEARN_RULES: 'reactions.yaml'", "relearn_Rules: '', RELEARN_RULES: 'reactions.yaml'", "is set twice"),
        (
            f"{M}function-app.bicep",
            "ftpsState: 'Disabled'",
            "alwaysOn: true\n      ftpsState: 'Disabled'",
            "siteConfig.alwaysOn",
        ),
    ],
    "settings.no_value_is_a_secret": [
        (
            f"{M}app-storage.bicep",
            "output name string = account.name",
            "output name string = account.listKeys().keys[0].value",
            "gives out",
        ),
        (HOST, '"value": "managedidentity"', '"value": "AccountName=a;AccountKey=b"', "contains"),
    ],
    "settings.triggers_have_their_connection": [
        (HOST, '"RelearnStorage__clientId"', '"RelearnStorage__client"', "needs the setting RelearnStorage__clientId"),
        (
            "functions/progress.py",
            "connection=STORAGE_CONNECTION",
            'connection="Work"',
            "needs the setting Work__queueServiceUri",
        ),
    ],
    "settings.the_runtime_is_one_that_the_project_supports": [
        ("pyproject.toml", ">=3.11,<3.14", ">=3.13,<3.14", "the runtime is python 3.12"),
        (f"{M}function-app.bicep", "name: 'python'", "name: 'node'", "the runtime is node"),
    ],
    "storage.what_the_app_names_is_made": [
        ("shared/settings.py", '"recent")', '"recent", "more")', "tables (default): more is missing"),
        ("shared/settings.py", ", DEAD_LETTER_CONTAINER)", ",)", "containers (default): dead-letters is too much"),
        (f"{M}app-storage.bicep", "'permits'", "'permit'", "tables (default): permits is missing"),
        (f"{M}app-storage.bicep", "'events-poison'", "'events-poisoned'", "queues (queue): events-poison is missing"),
        (
            f"{M}app-storage.bicep",
            "for queue in queues",
            "for queue in take(queues, 2)",
            "queues (isolated): events is missing",
        ),
    ],
    "storage.triggers_read_queues_that_are_made": [
        ("shared/settings.py", 'Final = "wake-ups"', 'Final = "wakeups"', "look needs the queue wakeups"),
        (f"{M}app-storage.bicep", "'wake-ups-poison'", "'poison'", "look needs the queue wake-ups-poison"),
        ("functions/intake.py", "queue_name=EVENT_QUEUE", 'queue_name="event"', "needs the queue event"),
    ],
    "storage.the_package_lies_in_a_container_that_is_made": [
        (f"{M}app-storage.bicep", "/${deploymentContainer}'", "/packages'", "the package lies in"),
        (
            MAIN,
            "appStorage.outputs.deploymentContainerUri",
            "'https://other.blob.core.windows.net/deployments'",
            "the package lies in",
        ),
    ],
    "storage.rules_watch_containers_and_folders_that_exist": [
        ("reactions.yaml", '"lake/0-raw/', '"sea/0-raw/', "watches the container sea"),
        ("reactions.yaml", '"lake/0-raw/', '"lake/raw/', "watches the folder raw"),
        (
            f"{M}lake.bicep",
            "param containerName string = 'lake'",
            "param containerName string = 'sea'",
            "watches the container lake",
        ),
    ],
    "storage.lifecycle_rules_name_the_lakes_folders": [
        (f"{M}lake.bicep", "/1-bronze/", "/1-bronce/", "the lake has no folder '1-bronce'"),
        (f"{M}lake.bicep", "/2-silver/", "/models/", "deletes models"),
        (f"{M}app-storage.bicep", "'manifests/'", "'manifest/'", "has no container manifest"),
    ],
    "storage.jobs_write_into_the_lakes_folders": [
        (f"{ADF}score-diabetes.json", "paths/1-bronze/", "paths/bronze/", "names the folder bronze"),
        ("ml/monitors/diabetes-drift.yml", "paths/0-raw/", "paths/raw/", "names the folder raw"),
        ("reactions.yaml", '"0-raw/diabetes', '"raw/diabetes', "names the folder raw"),
    ],
    "subscriptions.both_ways_have_the_files_subscriptions": [
        (FILTERS, '"source": "workspace"', '"source": "lake"', "is of the topic"),
        (f"{M}event-subscriptions.bicep", "entry.source == source", "entry.source == 'lake'", "is of the topic"),
        (
            f"{M}event-subscriptions.bicep",
            "retryPolicy: entry.retryPolicy",
            "retryPolicy: {}",
            "retryPolicy is not the file's",
        ),
        ("infra/events.bicep", "topicName: last(split(workspaceTopicId, '/'))", "topicName: 'own'", "is of the topic"),
    ],
    "subscriptions.filters_let_through_what_they_must": [
        (FILTERS, '"FlushWithClose", ', "", "lets through: file-through-dfs is missing"),
        (FILTERS, '"FlushWithClose", ', '"FlushWithClose", "CopyBlob", ', "lets through: file-copied is too much"),
        (FILTERS, "containers/lake/", "containers/sea/", "lets through: file-in-one-put is missing"),
        (FILTERS, "has failed due to", "failed because of", "lets through: drift is missing"),
        (FILTERS, '"StringIn"', '"StringsIn"', "unknown operator 'StringsIn'"),
        ("tests/data/events.json", '"api": "PutBlockList"', '"api": "AppendFile"', "file-in-blocks is missing"),
        (f"{M}event-subscriptions.bicep", "entry['filter']", "{}", "lets through: file-deleted is too much"),
    ],
    "subscriptions.the_product_understands_what_is_delivered": [
        (FILTERS, '"Microsoft.Storage.BlobCreated", ', "", "Microsoft.Storage.BlobCreated is missing"),
        (FILTERS, ".RunStatusChanged", ".ModelDeployed", ".ModelDeployed is too much"),
        (
            "shared/events/event_grid.py",
            '_WORKSPACE + "RunCompleted"',
            '_WORKSPACE + "RunEnded"',
            "RunCompleted is too much",
        ),
        ("tests/data/events.json", ".ModelRegistered", ".ModelChanged", "ModelRegistered is too much"),
    ],
    "subscriptions.webhooks_lead_to_the_function": [
        (
            FILTERS,
            '"function": "receive_event"',
            '"function": "look"',
            "leads to look, which has no Event Grid trigger",
        ),
        (
            "functions/intake.py",
            '"receive_event"',
            '"take_event"',
            "leads to receive_event, which has no Event Grid trigger",
        ),
        (
            "infra/events.bicep",
            "functionAppId: functionApp.id",
            "functionAppId: appStorage.id",
            "leads to /subscriptions",
        ),
    ],
    "subscriptions.queues_lead_to_the_queue_that_is_read": [
        (FILTERS, '"queue": "events"', '"queue": "event"', "is delivered to event, which nothing reads"),
        (
            "shared/settings.py",
            'EVENT_QUEUE: Final = "events"',
            'EVENT_QUEUE: Final = "intake"',
            "events, which nothing reads",
        ),
        (f"{M}event-subscriptions.bicep", "= 604800", "= 3600", "live 3600 s, not seven days"),
        (
            f"{M}event-subscriptions.bicep",
            "endpointType: 'StorageQueue'",
            "endpointType: 'EventHub'",
            "is delivered to",
        ),
        (
            f"{M}event-subscriptions.bicep",
            "delivery == 'webhook' ? {",
            "delivery == 'queue' ? {",
            "is not delivered with the topic's identity",
        ),
        (
            ROLES,
            '"scope": "eventQueue"',
            '"scope": "deadLetters"',
            "may not write to /queueServices/default/queues/events",
        ),
        (
            MAIN,
            "/queueServices/default/queues/events'",
            "/queueServices/default/queues/wake-ups'",
            "may not write to /queueServices",
        ),
    ],
    "subscriptions.the_queues_function_is_off_where_nothing_comes": [
        (HOST, '"when": "webhook"', '"when": "queue"', "functions that are off (default): []"),
        (
            HOST,
            "AzureWebJobs.receive_queued_event.Disabled",
            "AzureWebJobs.look.Disabled",
            "functions that are off (default): []",
        ),
        (
            f"{M}function-app.bicep",
            "setting.when == eventDelivery",
            "true",
            "functions that are off (queue): ['receive_queued_event']",
        ),
    ],
    "subscriptions.dead_letters_are_kept_with_identity": [
        (
            FILTERS,
            '"container": "dead-letters"',
            '"container": "letters"',
            "there is no container letters for dead letters",
        ),
        (
            f"{M}app-storage.bicep",
            "'dead-letters']",
            "'letters']",
            "there is no container dead-letters for dead letters",
        ),
        (
            ROLES,
            'Topic",\n      "scope": "deadLetters"',
            'Topic",\n      "scope": "manifests"',
            "may not write to /blobServices/default/containers/dead-letters",
        ),
        (
            "infra/events.bicep",
            "appStorageId: appStorage.id",
            "appStorageId: functionApp.id",
            "there is no container dead-letters",
        ),
    ],
    "pipelines.rules_start_what_is_deployed_with_its_parameters": [
        ("reactions.yaml", "run-pipeline: train-diabetes", "run-pipeline: train-diabete", "which is not deployed"),
        ("reactions.yaml", "      reason: ", "      reasons: ", "train-diabetes: reasons is too much"),
        (f"{ADF}train-diabetes.json", '"algorithm": {', '"method": {', "train-diabetes: method is missing"),
        (
            f"{M}pipelines.bicep",
            "\n  any(loadJsonContent('../adf/pipeline/train-diabetes.json'))",
            "",
            "which is not deployed (existing)",
        ),
    ],
    "pipelines.pipelines_are_started_by_a_rule": [
        ("reactions.yaml", "run-pipeline: train-diabetes", "run-pipeline: train", "no rule starts train-diabetes"),
        (f"{ADF}train-diabetes.json", '"name": "train-diabetes"', '"name": "train"', "no rule starts train"),
    ],
    "pipelines.files_are_deployed_as_they_are": [
        (f"{ADF}train-diabetes.json", '"name": "train-diabetes"', '"name": "train"', "is named otherwise inside"),
        (
            f"{M}pipelines.bicep",
            "\n  any(loadJsonContent('../adf/pipeline/train-diabetes.json'))",
            "",
            "train-diabetes is missing",
        ),
        (
            f"{M}pipelines.bicep",
            "properties: pipeline.properties",
            "properties: union(pipeline.properties, { annotations: ['x'] })",
            "is deployed otherwise",
        ),
        (f"{M}pipelines.bicep", "name: lakeService.name", "name: 'sea'", "linkedService (default): sea is too much"),
    ],
    "pipelines.linked_services_lead_to_the_lake": [
        (
            MAIN,
            "lakeDfsUri: 'https://${lakeName}.dfs.",
            "lakeDfsUri: 'https://${lakeName}.blob.",
            "linked service lake",
        ),
        (f"{M}pipelines.bicep", "url: lakeDfsUri", "address: lakeDfsUri", "linked service lake"),
    ],
    "pipelines.activities_refer_to_what_exists": [
        (f"{ADF}score-diabetes.json", "activity('CheckPrep')", "activity('AskPrep')", "there is no AskPrep"),
        (
            f"{ADF}score-diabetes.json",
            '"activity": "RequirePrep"',
            '"activity": "CheckPrep"',
            "waits for CheckPrep, which is not beside it",
        ),
        (f"{ADF}score-diabetes.json", "variables('prepStatus')", "variables('status')", "there is no status"),
        (
            f"{ADF}score-diabetes.json",
            "pipeline().parameters.folder",
            "pipeline().parameters.place",
            "there is no place",
        ),
        (
            f"{ADF}score-diabetes.json",
            '"variableName": "prepStatus"',
            '"variableName": "status"',
            "status is set and not declared",
        ),
        (
            f"{ADF}train-diabetes.json",
            '"typeProperties": {',
            '"linkedServiceName": {"referenceName": "sea", "type": "LinkedServiceReference"}, "typeProperties": {',
            "there is no linkedService sea",
        ),
        ("infra/adf/globalParameters.json", '"trainEndpointUri"', '"trainUri"', "there is no trainEndpointUri"),
    ],
    "pipelines.global_parameters_are_one_set": [
        ("infra/adf/globalParameters.json", '"pollSeconds"', '"pollMinutes"', "pollSeconds is too much"),
        (MAIN, "prepEndpointUri: {", "prepareEndpointUri: {", "prepEndpointUri is empty"),
        (
            f"{ADF}train-diabetes.json",
            "globalParameters.pollSeconds",
            "globalParameters.pollTime",
            "pollTime is too much",
        ),
        (f"{M}pipelines.bicep", "if (addGlobalParameters)", "if (!addGlobalParameters)", "a condition is true or"),
        ("infra/adf/globalParameters.json", '"value": 60', '"value": "60"', "pollSeconds is no Int"),
    ],
    "pipelines.an_existing_factory_keeps_its_own": [
        (
            f"{M}pipelines.bicep",
            "? factory.properties.globalParameters : {}",
            "? {} : {}",
            "of an existing factory are lost",
        ),
        (
            f"{M}pipelines.bicep",
            "contains(factory.properties, 'globalParameters')",
            "contains(factory.properties, 'parameters')",
            "are lost",
        ),
    ],
    "learning.batch_endpoints_are_those_of_the_yaml": [
        (
            "ml/batch/prep-endpoint.yml",
            "name: diabetes-prep",
            "name: diabetes-prepare",
            "ml/batch/prep-endpoint.yml is diabetes-prepare",
        ),
        ("ml/batch/prep-endpoint.yml", "aad_token", "key", "takes AADToken"),
        (MAIN, "'diabetes-score-${token}'", "'score-${token}'", "RELEARN_SCORE_ENDPOINT is score-"),
        (MAIN, "[prepEndpoint, scoreEndpoint, trainEndpoint]", "[prepEndpoint, scoreEndpoint]", "diabetes-train"),
        (
            MAIN,
            "output RELEARN_TRAIN_ENDPOINT",
            "output RELEARN_TRAINING_ENDPOINT",
            "main.bicep has no output RELEARN_TRAIN_ENDPOINT",
        ),
    ],
    "learning.pipelines_invoke_the_batch_endpoints": [
        (
            MAIN,
            "'https://${prepEndpoint}.${batchDomain}'",
            "'https://${scoreEndpoint}.${batchDomain}'",
            "prepEndpointUri (default) is",
        ),
        (MAIN, "'${workspaceLocation}.inference", "'${location}.inference", "(existing-workspace) is"),
    ],
    "learning.endpoints_names_fit_azures_limits": [
        (MAIN, "'diabetes-score-${token}'", "'diabetes-scoring-of-patients-${token}'", "is no name of an endpoint"),
    ],
    "learning.the_online_endpoint_is_the_setting": [
        (MAIN, "DIABETES_ENDPOINT: onlineEndpoint", "DIABETES_ENDPOINT: prepEndpoint", "online endpoints (first)"),
        (
            MAIN,
            "onlineEndpointName: onlineEndpoint",
            "onlineEndpointName: 'diabetes'",
            "online endpoints (first): diabetes is too much",
        ),
        (
            MAIN,
            "output DIABETES_ENDPOINT string = onlineEndpoint",
            "output DIABETES_ENDPOINT string = prepEndpoint",
            "is told differently",
        ),
        (
            "reactions.yaml",
            'endpoint: "${DIABETES_ENDPOINT}"',
            "endpoint: diabetes",
            "rule deploy-registered is about diabetes",
        ),
        ("reactions.yaml", "{live:${DIABETES_ENDPOINT}}", "{live:${SCORE_ENDPOINT}}", "is about ${SCORE_ENDPOINT}"),
    ],
    "learning.endpoints_take_the_chosen_credential": [
        (
            MAIN,
            "onlineEndpointAuthMode: endpointAuthMode",
            "onlineEndpointAuthMode: 'AADToken'",
            "(keys) takes AADToken",
        ),
        (f"{M}endpoints.bicep", "authMode: onlineEndpointAuthMode", "authMode: 'Key'", "(first) takes Key"),
    ],
    "learning.endpoints_are_left_alone_later": [
        (
            MAIN,
            "'modules/endpoints.bicep' = if (createEndpoints)",
            "'modules/endpoints.bicep' = if (true)",
            "is put again",
        ),
    ],
    "learning.jobs_run_on_the_cluster": [
        ("ml/batch/score-deployment.yml", "cpucluster", "gpucluster", "runs on gpucluster"),
        (MAIN, "var clusterName = 'cpucluster'", "var clusterName = 'cpus'", "runs on cpucluster"),
        (f"{M}compute.bicep", "minNodeCount: 0", "minNodeCount: 1", "cpucluster scales as"),
        (
            f"{M}compute.bicep",
            "lowPriority ? 'LowPriority' : 'Dedicated'",
            "lowPriority ? 'Dedicated' : 'Dedicated'",
            "priorities are",
        ),
    ],
    "learning.datastores_are_made": [
        (f"{M}compute.bicep", "name: 'lake'", "name: 'sea'", "names the datastore lake, which is not made"),
        (f"{ADF}train-diabetes.json", "datastores/lake/", "datastores/ocean/", "names the datastore ocean"),
        ("ml/monitors/diabetes-drift.yml", "datastores/lake/", "datastores/ocean/", "names the datastore ocean"),
        (
            f"{M}compute.bicep",
            "param lakeContainerName string = 'lake'",
            "param lakeContainerName string = 'sea'",
            "is the container sea",
        ),
        (MAIN, "lakeAccountName: lakeName", "lakeAccountName: appStorageName", "the lake is"),
    ],
    "learning.references_name_what_the_yaml_defines": [
        ("reactions.yaml", "azureml:relearn-sklearn:1", "azureml:relearn-sklearn:2", "names relearn-sklearn:2"),
        ("reactions.yaml", "azureml:diabetes-serving:1", "azureml:serving:1", "names serving:1"),
        ("ml/codes/diabetes-serving.yml", 'version: "1"', 'version: "2"', "names diabetes-serving:1"),
        ("ml/environments/relearn-sklearn.yml", "name: relearn-sklearn", "name: sklearn", "names relearn-sklearn:1"),
        ("ml/components/drift/component.yml", "name: diabetes_drift", "name: drift", "names diabetes_drift:2"),
    ],
    "learning.rules_wait_for_what_jobs_register": [
        (
            "reactions.yaml",
            "model: diabetes-classifier",
            "model: classifier",
            "waits for classifier, jobs register diabetes-classifier",
        ),
        (
            "ml/components/register/component.yml",
            "default: diabetes-classifier",
            "default: classifier",
            "jobs register classifier",
        ),
        ("reactions.yaml", "signals: [data_drift]", "signals: [drift]", "waits for drift"),
        (
            "ml/monitors/diabetes-drift.yml",
            "name: diabetes-BATCH",
            "name: drift-BATCH",
            "waits for the monitor diabetes-{batch}",
        ),
    ],
    "access.each_row_is_one_assignment": [
        (ROLES, '"scope": "lakeContainer"', '"scope": "lakeFolder"', "there is no 'lakeFolder'"),
        (MAIN, "      eventsTopic: eventsTopic.outputs.id\n", "      eventsTopic: ''\n", "is missing"),
        (MAIN, "      compute: identities.outputs.computePrincipalId\n", "      compute: ''\n", "is missing"),
        (f"{M}roles.bicep", "contains(conditions, row.when)", "row.when == 'always'", "assignments (queue)"),
        (MAIN, "concat(conditions, isolated)", "concat(conditions, ['queue'])", "assignments (default)"),
    ],
    "access.assignments_are_unique": [
        (ROLES, '"scope": "deployments"', '"scope": "manifests"', "deployed more than once"),
    ],
    "access.roles_exist": [
        (
            f"{M}roles.bicep",
            "? builtInRoles[key] : guid(subscription().id, resourceGroup().id, key)",
            "? builtInRoles[key] : guid(key)",
            "does not exist",
        ),
        (
            f"{M}roles.bicep",
            "name: guid(subscription().id, resourceGroup().id, role.key)",
            "name: guid(role.key)",
            "does not exist",
        ),
        (
            f"{M}roles.bicep",
            "useBuiltInRoles ? [] : ownRoles",
            "ownRoles",
            "custom roles are made though they may not be",
        ),
        (
            ROLES,
            "acdd72a7-3385-48ef-bd42-f606fba81ae7",
            "b24988ac-6180-42a0-ab88-20f7382dd24c",
            "a role that is too wide",
        ),
    ],
    "access.scopes_and_principals_are_deployed": [
        (MAIN, "/containers/manifests'", "/containers/manifest'", "is not deployed (first)"),
        (
            f"{M}app-storage.bicep",
            "['manifests', 'dead-letters']",
            "['manifest', 'dead-letters']",
            "is not deployed (first)",
        ),
        (
            MAIN,
            "compute: identities.outputs.computePrincipalId",
            "compute: identities.outputs.computeId",
            "is no identity that is deployed",
        ),
        (
            f"{M}identities.bicep",
            "app.properties.principalId",
            "app.properties.clientId",
            "is no identity that is deployed",
        ),
    ],
    "access.principals_are_told_apart": [
        (
            f"{M}roles.bicep",
            "row.principal == 'user' ? userPrincipalType",
            "row.principal == 'app' ? userPrincipalType",
            "is for a",
        ),
        (f"{M}roles.bicep", ": 'ServicePrincipal'", ": 'Group'", "is for a Group"),
    ],
    "access.custom_roles_are_narrow": [
        (
            ROLES,
            "Microsoft.DataFactory/factories/pipelines/read",
            "Microsoft.DataFactory/factories/*/read",
            "allows Microsoft.DataFactory/factories/*/read",
        ),
        (
            f"{M}roles.bicep",
            "roleName: '${role.value.title} ${guid(subscription().id, resourceGroup().id, role.key)}'",
            "roleName: role.value.title",
            "does not carry its guid",
        ),
        (
            f"{M}roles.bicep",
            "assignableScopes: assignableScopes",
            "assignableScopes: [subscription().id]",
            "can be assigned in",
        ),
    ],
    "access.custom_roles_can_be_assigned_where_they_are": [
        (
            MAIN,
            "assignableScopes: union(ownGroups, foreignGroups)",
            "assignableScopes: ownGroups",
            "cannot be assigned on",
        ),
    ],
    "access.every_custom_role_is_used": [
        (ROLES, '"role": "pipeline-starter"', '"role": "Reader"', "nobody has the role pipeline-starter"),
        (ROLES, '"pipeline-starter": {', '"starter": {', "there is no role pipeline-starter"),
    ],
    "outputs.parameters_are_main_bicep_s": [
        ("infra/main.parameters.json", '"costCenter"', '"costCentre"', "costCentre is too much"),
        (MAIN, "param alertEmail string", "param alertMail string", "alertMail is missing"),
    ],
    "outputs.azds_defaults_are_main_bicep_s": [
        (
            "infra/main.parameters.json",
            "RELEARN_MAXIMUM_INSTANCES=10",
            "RELEARN_MAXIMUM_INSTANCES=20",
            "azd's defaults",
        ),
        (MAIN, "param maximumInstances int = 10", "param maximumInstances int = 40", "azd's defaults"),
    ],
    "outputs.variables_that_are_used_exist": [
        ("docs/deploy.md", "`RELEARN_COST_CENTER`", "`RELEARN_COST_CENTRE`", "uses RELEARN_COST_CENTRE"),
        (
            MAIN,
            "output RELEARN_APP_STORAGE_ACCOUNT",
            "output RELEARN_STORAGE_ACCOUNT",
            "uses RELEARN_APP_STORAGE_ACCOUNT, which nothing gives",
        ),
        (
            "infra/hooks/preprovision.py",
            '"RELEARN_CREATE_ENDPOINTS"',
            '"RELEARN_MAKE_ENDPOINTS"',
            "uses RELEARN_MAKE_ENDPOINTS",
        ),
        ("infra/main.parameters.json", "RELEARN_RECOVER_VAULT", "RELEARN_BRING_BACK", "uses RELEARN_RECOVER_VAULT"),
        (".github/workflows/deploy-model.yml", "vars.RELEARN_APP_URL", "vars.RELEARN_APP_URI", "uses RELEARN_APP_URI"),
    ],
    "outputs.outputs_are_used": [
        (
            MAIN,
            "output AZURE_LOCATION string",
            "output RELEARN_REGION string",
            "nothing uses the output RELEARN_REGION",
        ),
        (
            f"{M}lake.bicep",
            "output location string",
            "output id string = account.id\noutput location string",
            "nothing reads the output id of lake.bicep",
        ),
    ],
    "outputs.nothing_is_declared_for_nothing": [
        (f"{M}lake.bicep", "days: softDeleteDays", "days: 14", "parameter softDeleteDays is not used"),
        (MAIN, "var clusterName = ", "var size = 2\nvar clusterName = ", "variable size is not used"),
        (MAIN, "'modules/workbook.bicep'", "'modules/alerts.bicep'", "infra/modules/workbook.bicep is used by nothing"),
    ],
    "outputs.the_hooks_are_azures": [
        ("azure.yaml", "  postdeploy:", "  postdeployment:", "hooks: postdeploy is missing"),
        ("azure.yaml", "infra.hooks predown", "infra.hooks down", "the hook predown"),
        ("infra/hooks/__main__.py", '"postprovision"', '"provisioned"', "hooks: provisioned is missing"),
        (
            f"{M}function-app.bicep",
            "'azd-service-name': 'app'",
            "'azd-service-name': 'api'",
            "services: app is too much",
        ),
        ("azure.yaml", "module: main", "module: mains", "there is no mains.bicep"),
    ],
    "outputs.the_postdeploy_hook_gives_events_bicep_its_parameters": [
        ("infra/events.bicep", "param lakeTopicId string", "param lakeTopic string", "lakeTopic is missing"),
        (
            "infra/hooks/postdeploy.py",
            '"appStorageAccountName"',
            '"appStorageAccount"',
            "appStorageAccountName is missing",
        ),
        (MAIN, "output RELEARN_LAKE_TOPIC_ID", "output RELEARN_LAKE_TOPIC", "postdeploy needs RELEARN_LAKE_TOPIC_ID"),
        ("functions/intake.py", '"receive_event"', '"take_event"', "postdeploy waits for the function receive_event"),
    ],
    "outputs.the_preprovision_hook_knows_main_bicep": [
        (
            MAIN,
            "[prepEndpoint, scoreEndpoint, trainEndpoint]",
            "[prepEndpoint, scoreEndpoint]",
            "preprovision expects 3 batchEndpoints",
        ),
        ("infra/hooks/endpoints.py", '"azd-env-name"', '"environment"', "the tag environment is not on the endpoints"),
        (MAIN, "'rg-relearn-${environmentName}'", "'rg-${environmentName}'", "the hooks look into rg-relearn-dev"),
        (
            MAIN,
            "@allowed(['3.11', '3.12', '3.13'])",
            "@allowed(['3.11', '3.12', '3.14'])",
            "preprovision refuses RELEARN_PYTHON_VERSION=3.14",
        ),
        (
            "infra/main.parameters.json",
            "RELEARN_COMPUTE_SIZE",
            "RELEARN_SIZE",
            "preprovision knows RELEARN_COMPUTE_SIZE",
        ),
    ],
    "outputs.commands_name_modules_that_exist": [
        (
            "azure.yaml",
            "infra.hooks preprovision",
            "infra.hook preprovision",
            "azure.yaml runs infra.hook, which does not exist",
        ),
        (
            ".github/workflows/deploy-environment.yml",
            "infra.pipelines.health",
            "infra.pipelines.well",
            "runs infra.pipelines.well",
        ),
    ],
    "promises.each_acts_as_itself": [
        (MAIN, "identityId: identities.outputs.computeId", "identityId: identities.outputs.endpointId", "acts as"),
        (
            MAIN,
            "onlineEndpointIdentityId: identities.outputs.endpointId",
            "onlineEndpointIdentityId: identities.outputs.computeId",
            "not as endpoint",
        ),
    ],
    "promises.the_app_uses_its_identity": [
        (
            MAIN,
            "AZURE_CLIENT_ID: identities.outputs.appClientId",
            "AZURE_CLIENT_ID: identities.outputs.appPrincipalId",
            "AZURE_CLIENT_ID is",
        ),
        (
            f"{M}function-app.bicep",
            "userAssignedIdentityResourceId: identityId",
            "userAssignedIdentityResourceId: identityClientId",
            "the package is fetched as",
        ),
        (f"{M}function-app.bicep", ";Authorization=AAD", "", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING is"),
        (HOST, '"value": "managedidentity"', '"value": "identity"', "is 'identity', not 'managedidentity'"),
    ],
    "promises.scopes_are_as_narrow_as_the_table_says": [
        (
            MAIN,
            "lakeContainer: '${lakeId}/blobServices/default/containers/lake'",
            "lakeContainer: lakeId",
            "is given on",
        ),
        (MAIN, "endpoint: '${workspaceId}/onlineEndpoints/${onlineEndpoint}'", "endpoint: workspaceId", "is given on"),
    ],
    "promises.what_cannot_be_made_again_is_kept": [
        (f"{M}lake.bicep", "                tierToCool: {", "                delete: {", "deletes lake/0-raw/"),
        (f"{M}lake.bicep", "'${containerName}/2-silver/'", "'${containerName}/3-gold/'", "deletes lake/3-gold/"),
        (f"{M}lake.bicep", "    isHnsEnabled: true\n", "", "no hierarchical namespace"),
        (
            f"{M}lake.bicep",
            "      enabled: true\n      days: softDeleteDays",
            "      enabled: false\n      days: softDeleteDays",
            "deleteRetentionPolicy is off",
        ),
    ],
    "promises.nothing_that_serves_is_put_back": [
        (
            f"{M}endpoints.bicep",
            "    authMode: onlineEndpointAuthMode\n",
            "    authMode: onlineEndpointAuthMode\n    traffic: { live: 100 }\n",
            "says traffic",
        ),
        (
            f"{M}pipelines.bicep",
            "    contains(factory.properties, 'globalParameters') ? factory.properties.globalParameters : {},\n"
            "    globalParameters",
            "    globalParameters,\n"
            "    contains(factory.properties, 'globalParameters') ? factory.properties.globalParameters : {}",
            "an address of yesterday",
        ),
        (f"{M}pipelines.bicep", "dependsOn: [mergedParameters, lake]", "dependsOn: [lake]", "may run before"),
    ],
    "promises.a_deleted_vault_is_recovered_only_then": [
        (
            f"{M}workspace.bicep",
            "recoverVault ? 'recover' : 'default'",
            "recoverVault ? 'default' : 'recover'",
            "createMode",
        ),
    ],
    "promises.isolation_is_whole": [
        (
            f"{M}workspace.bicep",
            "defaultAction: networkIsolation ? 'Deny' : 'Allow'",
            "defaultAction: 'Allow'",
            "'Allow'",
        ),
        (f"{M}workspace.bicep", "networkIsolation ? 'Premium' : 'Basic'", "'Basic'", "sku.name is 'Basic'"),
        (
            f"{M}compute.bicep",
            "remoteLoginPortPublicAccess: 'Disabled'",
            "remoteLoginPortPublicAccess: 'Enabled'",
            "remoteLoginPortPublicAccess is 'Enabled'",
        ),
        (f"{M}virtual-network.bicep", "        id: network.id\n", "        id: zones[i].id\n", "is linked to"),
    ],
    "promises.delivery_is_what_was_asked_for": [
        (MAIN, "empty(eventDelivery) ? 'webhook' :", "empty(eventDelivery) ? 'queue' :", "events come by queue"),
    ],
    "promises.outputs_lead_to_what_is_used": [
        (
            MAIN,
            "output RELEARN_WORKSPACE_RESOURCE_GROUP string = workspaceGroup",
            "output RELEARN_WORKSPACE_RESOURCE_GROUP string = groupName",
            "are not those of its id",
        ),
    ],
    "promises.operators_are_told": [
        (f"{M}alerts.bicep", "empty(alertEmail) ? [] : [people.id]", "[]", "is told to 0, not to 1"),
        (f"{M}alerts.bicep", "threshold: alert.threshold", "threshold: 10", "waits for"),
        (
            f"{M}alerts.bicep",
            "      enabled: true\n      severity: alert.severity",
            "      enabled: false\n      severity: alert.severity",
            "is off",
        ),
        (
            f"{M}alerts.bicep",
            "            threshold: 0",
            "            threshold: 100",
            "does not tell of the first one",
        ),
        (
            MAIN,
            "    alertEmail: alertEmail\n    topicIds: [lakeTopicId, workspaceTopicId]",
            "    alertEmail: alertEmail\n    topicIds: [lakeTopicId]",
            "nobody watches DeadLetteredCount",
        ),
    ],
    "promises.costs_are_told_apart": [
        (
            MAIN,
            "orchestration: union(tags, { 'cost-part': 'orchestration' })",
            "orchestration: union(tags, { 'cost-part': 'data' })",
            "is paid for as data",
        ),
    ],
    "promises.who_needs_a_role_waits_for_it": [
        (MAIN, "  dependsOn: [lakeTopic, roles]\n", "  dependsOn: [lakeTopic]\n", "lakeSubscriptions does not wait"),
        (
            MAIN,
            "  dependsOn: [roles, privateEndpoints]",
            "  dependsOn: [privateEndpoints]",
            "functionApp does not wait",
        ),
        (
            MAIN,
            "dependsOn: [workspace, lake, roles, workspaceOutbound]",
            "dependsOn: [workspace, lake]",
            "compute does not wait",
        ),
    ],
}
