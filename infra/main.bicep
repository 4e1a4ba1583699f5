// The whole system for `azd up`: one resource group with everything in it, or around a lake, a workspace or a data
// factory that is there already. Two things come after: the app's package, and with it the webhook's subscriptions
// (infra/events.bicep), and the assets of Azure Machine Learning (python -m ml.publish).
targetScope = 'subscription'

@description('Name of the environment: part of the names of its resource group and, hashed, of everything in it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Region of everything that is new. It must have Flex Consumption and the size of the cluster\'s nodes.')
@minLength(1)
param location string

@description('Object id of the person or group that operates the system; empty to leave them out.')
param principalId string = ''

@description('What principalId is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string = 'User'

// An existing workspace must have its managed network on, the activities of an existing factory must reach the workspace:
// neither is changed from here. The app is then deployed from a machine inside the network.
@description('Private endpoints, and public access off. Chosen once: a managed network cannot be taken back.')
param networkIsolation bool = false

@description('How events come to the app. Empty: through the queue in isolation, by webhook otherwise.')
@allowed(['', 'webhook', 'queue'])
param eventDelivery string = ''

// In the same subscription, as the other two; with hierarchical namespace and a container `lake`.
@description('Resource id of a storage account that is the lake already; empty for a new one.')
param existingLakeId string = ''

// In it, the names `lake` (a datastore) and `cpucluster` must be free, or be what a deployment before has made.
@description('Resource id of an Azure Machine Learning workspace; empty for a new one.')
param existingWorkspaceId string = ''

@description('Resource id of a data factory with a system-assigned identity; empty for a new one.')
param existingDataFactoryId string = ''

// A source can have only one system topic. One that is there needs a system-assigned identity, like a new one.
@description('Resource id of the lake\'s system topic; empty for a new one.')
param existingLakeTopicId string = ''

@description('Resource id of the workspace\'s system topic; empty for a new one.')
param existingWorkspaceTopicId string = ''

@description('Assign built-in roles, wider than needed, where custom roles may not be made.')
param useBuiltInRoles bool = false

// To put an endpoint again sets its traffic, or its default deployment, back to none.
@description('True for the first deployment only, as the preprovision hook finds out.')
param createEndpoints bool = false

@description('How callers of the online endpoint identify themselves.')
@allowed(['AADToken', 'Key', 'AMLToken'])
param endpointAuthMode string = 'AADToken'

@description('Cheaper nodes that may be taken away while a job runs.')
param lowPriorityCompute bool = false

@description('Size of the cluster\'s nodes.')
param computeSize string = 'Standard_DS2_v2'

@description('How far each of the app\'s functions may scale out. Not every region takes less than 40 yet.')
@minValue(1)
@maxValue(1000)
param maximumInstances int = 10

@description('For so many days the app keeps what has ended, and what became of events.')
@minValue(7)
@maxValue(365)
param retentionDays int = 30

@description('The Python that Azure runs the app with.')
@allowed(['3.11', '3.12', '3.13'])
param pythonVersion string = '3.12'

@description('Who is told about alerts; empty for nobody.')
param alertEmail string = ''

@description('Name of the online endpoint; empty for one that is unique in its region.')
@maxLength(32)
param diabetesEndpoint string = ''

// Made by the preprovision hook where it may; else by who may, as docs/operations.md says.
@description('Client id of the app registration whose tokens the API takes; empty: the API answers health only.')
param apiClientId string = ''

@description('True after a tear-down, for the seven days that the deleted key vault still holds its name.')
param recoverVault bool = false

@description('Tag by which a bill is divided between those who pay.')
param costCenter string = 'relearn'

// ---------------------------------------------------------------------------------------------------------- names

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = {
  'azd-env-name': environmentName
  product: 'relearn'
  'cost-center': costCenter
}
// The bill of one environment, by what the money is for.
var tagsOf = {
  data: union(tags, { 'cost-part': 'data' })
  reactions: union(tags, { 'cost-part': 'reactions' })
  learning: union(tags, { 'cost-part': 'learning' })
  orchestration: union(tags, { 'cost-part': 'orchestration' })
  monitoring: union(tags, { 'cost-part': 'monitoring' })
  network: union(tags, { 'cost-part': 'network' })
}

var groupName = 'rg-relearn-${environmentName}'
var appStorageName = 'strelearn${token}'
var registryName = 'crrelearn${token}'
var vaultName = 'kv-relearn-${token}'
var workspaceStorageName = 'strelearnml${token}'
var clusterName = 'cpucluster'

// Names of endpoints are unique in a region, over all its customers; so all four carry the token.
var onlineEndpoint = empty(diabetesEndpoint) ? 'diabetes-${token}' : diabetesEndpoint
var prepEndpoint = 'diabetes-prep-${token}'
var scoreEndpoint = 'diabetes-score-${token}'
var trainEndpoint = 'diabetes-train-${token}'

// Which of the five are made here.
var newLake = empty(existingLakeId)
var newWorkspace = empty(existingWorkspaceId)
var newDataFactory = empty(existingDataFactoryId)
var newLakeTopic = empty(existingLakeTopicId)
var newWorkspaceTopic = empty(existingWorkspaceTopicId)

// One id for each of the three that may be there already, known before anything is deployed: role assignments and
// modules in other resource groups need it then. Whether it is new makes no difference from here on.
var groupsId = '${subscription().id}/resourceGroups'
var providers = '${groupsId}/${groupName}/providers'
var newLakeId = '${providers}/Microsoft.Storage/storageAccounts/dlsrelearn${token}'
var newWorkspaceId = '${providers}/Microsoft.MachineLearningServices/workspaces/mlw-relearn-${token}'
var newDataFactoryId = '${providers}/Microsoft.DataFactory/factories/adf-relearn-${token}'
var lakeId = newLake ? newLakeId : existingLakeId
var workspaceId = newWorkspace ? newWorkspaceId : existingWorkspaceId
var dataFactoryId = newDataFactory ? newDataFactoryId : existingDataFactoryId
var lakeName = last(split(lakeId, '/'))
var lakeGroup = split(lakeId, '/')[4]
var workspaceName = last(split(workspaceId, '/'))
var workspaceGroup = split(workspaceId, '/')[4]
var dataFactoryName = last(split(dataFactoryId, '/'))
var dataFactoryGroup = split(dataFactoryId, '/')[4]

// A new system topic is beside its source.
var topics = 'providers/Microsoft.EventGrid/systemTopics/evgst-relearn'
var newLakeTopicId = '${groupsId}/${lakeGroup}/${topics}-lake-${token}'
var newWorkspaceTopicId = '${groupsId}/${workspaceGroup}/${topics}-workspace-${token}'
var lakeTopicId = newLakeTopic ? newLakeTopicId : existingLakeTopicId
var workspaceTopicId = newWorkspaceTopic ? newWorkspaceTopicId : existingWorkspaceTopicId
var lakeTopicName = last(split(lakeTopicId, '/'))
var lakeTopicGroup = split(lakeTopicId, '/')[4]
var workspaceTopicName = last(split(workspaceTopicId, '/'))
var workspaceTopicGroup = split(workspaceTopicId, '/')[4]

// Event Grid's webhook comes from the internet; in isolation that door is shut.
var refused = 'eventDelivery webhook and networkIsolation exclude each other: leave eventDelivery empty, or say queue.'
// Inside a string, because the parser that checkov comes with does not know fail().
var isolatedDelivery = networkIsolation && eventDelivery == 'webhook' ? '${fail(refused)}' : 'queue'
var openDelivery = empty(eventDelivery) ? 'webhook' : eventDelivery
// any(): the compiler does not see that nothing but webhook and queue is left.
var delivery = any(networkIsolation ? isolatedDelivery : openDelivery)

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: groupName
  location: location
  tags: tags
}

// ------------------------------------------------------------------------------------------- what is there already

resource existingLake 'Microsoft.Storage/storageAccounts@2024-01-01' existing = if (!newLake) {
  name: lakeName
  scope: resourceGroup(lakeGroup)
}

resource existingWorkspace 'Microsoft.MachineLearningServices/workspaces@2025-06-01' existing = if (!newWorkspace) {
  name: workspaceName
  scope: resourceGroup(workspaceGroup)
}

resource existingDataFactory 'Microsoft.DataFactory/factories@2018-06-01' existing = if (!newDataFactory) {
  name: dataFactoryName
  scope: resourceGroup(dataFactoryGroup)
}

resource existingLakeTopic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = if (!newLakeTopic) {
  name: lakeTopicName
  scope: resourceGroup(lakeTopicGroup)
}

resource existingWorkspaceTopic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = if (!newWorkspaceTopic) {
  name: workspaceTopicName
  scope: resourceGroup(workspaceTopicGroup)
}

// ------------------------------------------------------------------------------------------ data, app, observation

module identities 'modules/identities.bicep' = {
  name: 'identities'
  scope: group
  params: {
    location: location
    tags: tags
    appName: 'id-relearn-app-${token}'
    computeName: 'id-relearn-compute-${token}'
    endpointName: 'id-relearn-endpoint-${token}'
  }
}

module lake 'modules/lake.bicep' = if (newLake) {
  name: 'lake'
  scope: group
  params: {
    name: lakeName
    location: location
    tags: tagsOf.data
    networkIsolation: networkIsolation
  }
}

module appStorage 'modules/app-storage.bicep' = {
  name: 'app-storage'
  scope: group
  params: {
    name: appStorageName
    location: location
    tags: tagsOf.reactions
    networkIsolation: networkIsolation
    // The app removes manifests with their reactions; this is for what it left behind.
    manifestDays: retentionDays > 150 ? retentionDays + 30 : 180
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    location: location
    tags: tagsOf.monitoring
    logAnalyticsName: 'log-relearn-${token}'
    applicationInsightsName: 'appi-relearn-${token}'
  }
}

var lakeLocation = newLake ? lake.outputs.location : existingLake.location

// -------------------------------------------------------------------------------------------------------- learning

module workspace 'modules/workspace.bicep' = if (newWorkspace) {
  name: 'workspace'
  scope: group
  params: {
    name: workspaceName
    location: location
    tags: tagsOf.learning
    storageName: workspaceStorageName
    vaultName: vaultName
    registryName: registryName
    applicationInsightsId: monitoring.outputs.applicationInsightsId
    imageBuildCompute: clusterName
    networkIsolation: networkIsolation
    recoverVault: recoverVault
  }
}

var workspaceLocation = newWorkspace ? workspace.outputs.location : existingWorkspace.location

module compute 'modules/compute.bicep' = {
  name: 'compute-${token}'
  scope: resourceGroup(workspaceGroup)
  params: {
    workspaceName: workspaceName
    location: workspaceLocation
    tags: tagsOf.learning
    clusterName: clusterName
    identityId: identities.outputs.computeId
    vmSize: computeSize
    lowPriority: lowPriorityCompute
    networkIsolation: networkIsolation
    lakeAccountName: lakeName
    lakeResourceGroup: lakeGroup
  }
  // The first compute provisions the managed network, with every way out there is by then.
  dependsOn: [workspace, lake, roles, workspaceOutbound]
}

module endpoints 'modules/endpoints.bicep' = if (createEndpoints) {
  name: 'endpoints-${token}'
  scope: resourceGroup(workspaceGroup)
  params: {
    workspaceName: workspaceName
    location: workspaceLocation
    tags: tagsOf.learning
    onlineEndpointName: onlineEndpoint
    onlineEndpointIdentityId: identities.outputs.endpointId
    onlineEndpointAuthMode: endpointAuthMode
    batchEndpointNames: [prepEndpoint, scoreEndpoint, trainEndpoint]
    networkIsolation: networkIsolation
  }
  dependsOn: [workspace]
}

// --------------------------------------------------------------------------------------------------- orchestration

// The addresses are composed, not asked for: so they are right also while the endpoints are not touched.
var batchDomain = '${workspaceLocation}.inference.ml.azure.com/jobs'
var globalParameters = union(loadJsonContent('adf/globalParameters.json').properties, {
  prepEndpointUri: { type: 'String', value: 'https://${prepEndpoint}.${batchDomain}' }
  scoreEndpointUri: { type: 'String', value: 'https://${scoreEndpoint}.${batchDomain}' }
  trainEndpointUri: { type: 'String', value: 'https://${trainEndpoint}.${batchDomain}' }
})

module dataFactory 'modules/data-factory.bicep' = if (newDataFactory) {
  name: 'data-factory'
  scope: group
  params: {
    name: dataFactoryName
    location: location
    tags: tagsOf.orchestration
    globalParameters: globalParameters
    networkIsolation: networkIsolation
    workspaceId: workspaceId
    lakeId: lakeId
  }
  dependsOn: [workspace, lake]
}

module pipelines 'modules/pipelines.bicep' = {
  name: 'pipelines-${token}'
  scope: resourceGroup(dataFactoryGroup)
  params: {
    factoryName: dataFactoryName
    lakeDfsUri: 'https://${lakeName}.dfs.${environment().suffixes.storage}'
    globalParameters: globalParameters
    addGlobalParameters: !newDataFactory
  }
  dependsOn: [dataFactory]
}

// ---------------------------------------------------------------------------------------------------------- events

module lakeTopic 'modules/system-topic.bicep' = if (newLakeTopic) {
  name: 'lake-topic-${token}'
  scope: resourceGroup(lakeTopicGroup)
  params: {
    name: lakeTopicName
    location: lakeLocation
    tags: tagsOf.reactions
    source: lakeId
    topicType: 'Microsoft.Storage.StorageAccounts'
  }
  dependsOn: [lake]
}

module workspaceTopic 'modules/system-topic.bicep' = if (newWorkspaceTopic) {
  name: 'workspace-topic-${token}'
  scope: resourceGroup(workspaceTopicGroup)
  params: {
    name: workspaceTopicName
    location: workspaceLocation
    tags: tagsOf.reactions
    source: workspaceId
    topicType: 'Microsoft.MachineLearningServices.Workspaces'
  }
  dependsOn: [workspace]
}

module eventsTopic 'modules/events-topic.bicep' = {
  name: 'events-topic'
  scope: group
  params: {
    name: 'evgt-relearn-${token}'
    location: location
    tags: tagsOf.reactions
    networkIsolation: networkIsolation
  }
}

// The keyless way is complete here. The webhook's subscriptions point at a function, which must be deployed first.
module lakeSubscriptions 'modules/event-subscriptions.bicep' = if (delivery == 'queue') {
  name: 'lake-events-${token}'
  scope: resourceGroup(lakeTopicGroup)
  params: {
    topicName: lakeTopicName
    source: 'lake'
    delivery: 'queue'
    appStorageId: appStorage.outputs.id
  }
  dependsOn: [lakeTopic, roles]
}

module workspaceSubscriptions 'modules/event-subscriptions.bicep' = if (delivery == 'queue') {
  name: 'workspace-events-${token}'
  scope: resourceGroup(workspaceTopicGroup)
  params: {
    topicName: workspaceTopicName
    source: 'workspace'
    delivery: 'queue'
    appStorageId: appStorage.outputs.id
  }
  dependsOn: [workspaceTopic, roles]
}

// ----------------------------------------------------------------------------------------------------------- roles

var endpointConditions = {
  AADToken: 'aadEndpoint'
  Key: 'keyEndpoint'
  AMLToken: 'amlTokenEndpoint'
}
var conditions = ['always', delivery, endpointConditions[endpointAuthMode]]
var isolated = networkIsolation ? ['networkIsolation'] : []

// What an existing workspace uses is asked of it; it may have been made without a registry.
var ofWorkspace = existingWorkspace.properties
var existingRegistry = contains(ofWorkspace, 'containerRegistry') ? ofWorkspace.containerRegistry : ''
var workspaceStorageId = newWorkspace ? workspace.outputs.storageId : ofWorkspace.storageAccount
var vaultId = newWorkspace ? workspace.outputs.vaultId : ofWorkspace.keyVault
var registryId = newWorkspace ? workspace.outputs.registryId : existingRegistry
// It may also have none but user-assigned identities; then its rights are its owner's business.
var asWorkspace = existingWorkspace.identity
var existingPrincipal = contains(asWorkspace, 'principalId') ? asWorkspace.principalId : ''
var workspacePrincipal = newWorkspace ? workspace.outputs.principalId : existingPrincipal

var factoryPrincipal = newDataFactory ? dataFactory.outputs.principalId : existingDataFactory.identity.principalId
var lakeTopicPrincipal = newLakeTopic ? lakeTopic.outputs.principalId : existingLakeTopic.identity.principalId
var asTopic = existingWorkspaceTopic.identity
var workspaceTopicPrincipal = newWorkspaceTopic ? workspaceTopic.outputs.principalId : asTopic.principalId

// Custom roles can be assigned in the groups they name only. The union leaves each out but once.
var ownGroups = ['${groupsId}/${groupName}']
var foreignGroups = [
  '${groupsId}/${lakeGroup}'
  '${groupsId}/${workspaceGroup}'
  '${groupsId}/${dataFactoryGroup}'
]

module roles 'modules/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    principals: {
      app: identities.outputs.appPrincipalId
      compute: identities.outputs.computePrincipalId
      endpoint: identities.outputs.endpointPrincipalId
      factory: factoryPrincipal
      workspace: workspacePrincipal
      lakeTopic: lakeTopicPrincipal
      workspaceTopic: workspaceTopicPrincipal
      user: principalId
    }
    scopes: {
      appStorage: appStorage.outputs.id
      manifests: '${appStorage.outputs.id}/blobServices/default/containers/manifests'
      deadLetters: '${appStorage.outputs.id}/blobServices/default/containers/dead-letters'
      deployments: '${appStorage.outputs.id}/blobServices/default/containers/deployments'
      eventQueue: '${appStorage.outputs.id}/queueServices/default/queues/events'
      lake: lakeId
      lakeContainer: '${lakeId}/blobServices/default/containers/lake'
      factory: dataFactoryId
      workspace: workspaceId
      endpoint: '${workspaceId}/onlineEndpoints/${onlineEndpoint}'
      eventsTopic: eventsTopic.outputs.id
      registry: registryId
      vault: vaultId
      workspaceStorage: workspaceStorageId
      applicationInsights: monitoring.outputs.applicationInsightsId
      computeIdentity: identities.outputs.computeId
      endpointIdentity: identities.outputs.endpointId
    }
    conditions: concat(conditions, isolated)
    userPrincipalType: principalType
    useBuiltInRoles: useBuiltInRoles
    assignableScopes: union(ownGroups, foreignGroups)
  }
  // Their scopes must exist: the lake's container, the online endpoint.
  dependsOn: [lake, endpoints]
}

// ------------------------------------------------------------------------------------------------------------- app

module functionApp 'modules/function-app.bicep' = {
  name: 'function-app'
  scope: group
  params: {
    name: 'func-relearn-${token}'
    planName: 'asp-relearn-${token}'
    location: location
    tags: tagsOf.reactions
    identityId: identities.outputs.appId
    identityClientId: identities.outputs.appClientId
    productSettings: {
      RelearnStorage__blobServiceUri: appStorage.outputs.blobServiceUri
      RelearnStorage__queueServiceUri: appStorage.outputs.queueServiceUri
      RelearnStorage__tableServiceUri: appStorage.outputs.tableServiceUri
      RELEARN_RULES: 'reactions.yaml'
      RELEARN_LAKE_BLOB_SERVICE_URIS: 'https://${lakeName}.blob.${environment().suffixes.storage}'
      RELEARN_DATA_FACTORY_ID: dataFactoryId
      RELEARN_WORKSPACE_ID: workspaceId
      RELEARN_ARM_ENDPOINT: environment().resourceManager
      RELEARN_EVENTS_TOPIC_ENDPOINT: eventsTopic.outputs.endpoint
      RELEARN_RETENTION_DAYS: string(retentionDays)
      AZURE_CLIENT_ID: identities.outputs.appClientId
      DIABETES_ENDPOINT: onlineEndpoint
      DIABETES_OVERNIGHT: '0 2 * * *'
    }
    appStorageName: appStorage.outputs.name
    deploymentContainerUri: appStorage.outputs.deploymentContainerUri
    applicationInsightsConnectionString: monitoring.outputs.connectionString
    eventDelivery: delivery
    pythonVersion: pythonVersion
    maximumInstances: maximumInstances
    apiClientId: apiClientId
    networkIsolation: networkIsolation
    subnetId: networkIsolation ? virtualNetwork.outputs.functionSubnetId : ''
  }
  // It fetches its package with its identity; and what it sends before its roles are there, it sends again and again.
  dependsOn: [roles, privateEndpoints]
}

// --------------------------------------------------------------------------------------------------------- network

module virtualNetwork 'modules/virtual-network.bicep' = if (networkIsolation) {
  name: 'virtual-network'
  scope: group
  params: {
    location: location
    tags: tagsOf.network
    name: 'vnet-relearn-${token}'
  }
}

var blobZone = 'privatelink.blob.${environment().suffixes.storage}'
var dfsZone = 'privatelink.dfs.${environment().suffixes.storage}'
var fileZone = 'privatelink.file.${environment().suffixes.storage}'
var queueZone = 'privatelink.queue.${environment().suffixes.storage}'
var tableZone = 'privatelink.table.${environment().suffixes.storage}'

// For the studio in a browser inside the network. An existing workspace has its own.
var partTargets = [
  { name: 'workspace-file', resourceId: workspaceStorageId, groupId: 'file', zoneNames: [fileZone] }
  { name: 'workspace-vault', resourceId: vaultId, groupId: 'vault', zoneNames: ['privatelink.vaultcore.azure.net'] }
  { name: 'workspace-registry', resourceId: registryId, groupId: 'registry', zoneNames: ['privatelink.azurecr.io'] }
]
var workspacePartTargets = newWorkspace ? partTargets : []

// What the app and those who deploy it reach. Jobs and activities have networks of their own, which Azure manages; of
// the data factory the app only uses what Azure Resource Manager serves.
module privateEndpoints 'modules/private-endpoints.bicep' = if (networkIsolation) {
  name: 'private-endpoints'
  scope: group
  params: {
    location: location
    tags: tagsOf.network
    subnetId: virtualNetwork.outputs.endpointSubnetId
    zones: virtualNetwork.outputs.zones
    targets: concat(workspacePartTargets, [
      { name: 'lake-blob', resourceId: lakeId, groupId: 'blob', zoneNames: [blobZone] }
      { name: 'lake-dfs', resourceId: lakeId, groupId: 'dfs', zoneNames: [dfsZone] }
      { name: 'app-blob', resourceId: appStorage.outputs.id, groupId: 'blob', zoneNames: [blobZone] }
      { name: 'app-queue', resourceId: appStorage.outputs.id, groupId: 'queue', zoneNames: [queueZone] }
      { name: 'app-table', resourceId: appStorage.outputs.id, groupId: 'table', zoneNames: [tableZone] }
      { name: 'workspace-blob', resourceId: workspaceStorageId, groupId: 'blob', zoneNames: [blobZone] }
      {
        name: 'workspace'
        resourceId: workspaceId
        groupId: 'amlworkspace'
        zoneNames: ['privatelink.api.azureml.ms', 'privatelink.notebooks.azure.net']
      }
      {
        name: 'events-topic'
        resourceId: eventsTopic.outputs.id
        groupId: 'topic'
        zoneNames: ['privatelink.eventgrid.azure.net']
      }
    ])
  }
  dependsOn: [lake]
}

// Of its own: the app waits for the endpoints above, and this one waits for the app.
module appEndpoint 'modules/private-endpoints.bicep' = if (networkIsolation) {
  name: 'app-endpoint'
  scope: group
  params: {
    location: location
    tags: tagsOf.network
    subnetId: virtualNetwork.outputs.endpointSubnetId
    zones: virtualNetwork.outputs.zones
    targets: [
      {
        name: 'app'
        resourceId: functionApp.outputs.id
        groupId: 'sites'
        zoneNames: ['privatelink.azurewebsites.net']
      }
    ]
  }
}

// After the roles: the workspace approves these endpoints with its own identity.
module workspaceOutbound 'modules/workspace-outbound.bicep' = if (networkIsolation) {
  name: 'workspace-outbound-${token}'
  scope: resourceGroup(workspaceGroup)
  params: {
    workspaceName: workspaceName
    lakeId: lakeId
    appStorageId: appStorage.outputs.id
  }
  dependsOn: [workspace, lake, roles]
}

// ---------------------------------------------------------------------------------------------------------- alerts

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tagsOf.monitoring
    applicationInsightsId: monitoring.outputs.applicationInsightsId
    workspaceId: monitoring.outputs.logAnalyticsId
    alertEmail: alertEmail
    topicIds: [lakeTopicId, workspaceTopicId]
  }
  dependsOn: [lakeTopic, workspaceTopic]
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: {
    location: location
    tags: tagsOf.monitoring
    applicationInsightsId: monitoring.outputs.applicationInsightsId
    topicIds: [lakeTopicId, workspaceTopicId]
  }
}

// --------------------------------------------------------------------------------------------------------- outputs

@description('Resource group of everything that is new.')
output AZURE_RESOURCE_GROUP string = group.name

@description('Region of everything that is new.')
output AZURE_LOCATION string = location

@description('Name of the function app.')
output AZURE_FUNCTION_APP_NAME string = functionApp.outputs.name

@description('Where the app answers.')
output RELEARN_APP_URL string = functionApp.outputs.url

@description('What tokens for the app\'s API are for; empty where the API answers health only.')
output RELEARN_API_AUDIENCE string = empty(apiClientId) ? '' : 'api://${apiClientId}'

@description('Resource id of the workspace.')
output RELEARN_WORKSPACE_ID string = workspaceId

@description('Name of the workspace.')
output RELEARN_WORKSPACE_NAME string = workspaceName

@description('Resource group of the workspace.')
output RELEARN_WORKSPACE_RESOURCE_GROUP string = workspaceGroup

@description('Name of the data factory.')
output RELEARN_DATA_FACTORY_NAME string = dataFactoryName

@description('Name of the lake\'s storage account.')
output RELEARN_LAKE_ACCOUNT string = lakeName

@description('Address of the lake\'s container, where monitors leave their newest reports.')
output RELEARN_LAKE_CONTAINER_URL string = 'https://${lakeName}.blob.${environment().suffixes.storage}/lake'

@description('Name of the app\'s storage account.')
output RELEARN_APP_STORAGE_ACCOUNT string = appStorage.outputs.name

@description('Resource id of the lake\'s system topic, for infra/events.bicep.')
output RELEARN_LAKE_TOPIC_ID string = lakeTopicId

@description('Resource id of the workspace\'s system topic, for infra/events.bicep.')
output RELEARN_WORKSPACE_TOPIC_ID string = workspaceTopicId

@description('webhook or queue: whether the postdeploy hook has subscriptions to make.')
output RELEARN_EVENT_DELIVERY string = delivery

@description('Where lifecycle events are published to.')
output RELEARN_EVENTS_TOPIC_ENDPOINT string = eventsTopic.outputs.endpoint

@description('Name of the online endpoint.')
output DIABETES_ENDPOINT string = onlineEndpoint

@description('Name of the batch endpoint of ml/batch/prep-endpoint.yml in this environment.')
output RELEARN_PREP_ENDPOINT string = prepEndpoint

@description('Name of the batch endpoint of ml/batch/score-endpoint.yml in this environment.')
output RELEARN_SCORE_ENDPOINT string = scoreEndpoint

@description('Name of the batch endpoint of ml/batch/train-endpoint.yml in this environment.')
output RELEARN_TRAIN_ENDPOINT string = trainEndpoint
