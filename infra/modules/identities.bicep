// User-assigned, because these three exist before what they serve: their roles are there when the function app, a job or
// a deployment first needs them, and a replaced function app keeps its rights.

@description('Region of the identities.')
param location string

@description('Tags of the identities.')
param tags object

@description('Name of the function app\'s identity.')
param appName string

@description('Name of the identity that jobs on the compute cluster run with.')
param computeName string

@description('Name of the identity that the online endpoint pulls images and models with.')
param endpointName string

resource app 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: appName
  location: location
  tags: tags
}

resource compute 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: computeName
  location: location
  tags: tags
}

resource endpoint 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: endpointName
  location: location
  tags: tags
}

@description('Resource id of the function app\'s identity.')
output appId string = app.id

@description('Client id of the function app\'s identity: how the app names it when it asks for tokens.')
output appClientId string = app.properties.clientId

@description('Object id of the function app\'s identity.')
output appPrincipalId string = app.properties.principalId

@description('Resource id of the jobs\' identity.')
output computeId string = compute.id

@description('Object id of the jobs\' identity.')
output computePrincipalId string = compute.properties.principalId

@description('Resource id of the online endpoint\'s identity.')
output endpointId string = endpoint.id

@description('Object id of the online endpoint\'s identity.')
output endpointPrincipalId string = endpoint.properties.principalId
