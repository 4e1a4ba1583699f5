// The webhook's subscriptions, after the app is deployed: a subscription can only point at a function that exists. Run
// by azd's postdeploy hook; again changes nothing.
targetScope = 'resourceGroup'

@description('Name of the function app, in this resource group.')
param functionAppName string

@description('Name of the app\'s storage account, in this resource group.')
param appStorageAccountName string

@description('Resource id of the lake\'s system topic.')
param lakeTopicId string

@description('Resource id of the workspace\'s system topic.')
param workspaceTopicId string

resource functionApp 'Microsoft.Web/sites@2024-11-01' existing = {
  name: functionAppName
}

resource appStorage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: appStorageAccountName
}

module lakeSubscriptions 'modules/event-subscriptions.bicep' = {
  name: 'lake-events-${uniqueString(functionApp.id)}'
  scope: resourceGroup(split(lakeTopicId, '/')[4])
  params: {
    topicName: last(split(lakeTopicId, '/'))
    source: 'lake'
    delivery: 'webhook'
    functionAppId: functionApp.id
    appStorageId: appStorage.id
  }
}

module workspaceSubscriptions 'modules/event-subscriptions.bicep' = {
  name: 'workspace-events-${uniqueString(functionApp.id)}'
  scope: resourceGroup(split(workspaceTopicId, '/')[4])
  params: {
    topicName: last(split(workspaceTopicId, '/'))
    source: 'workspace'
    delivery: 'webhook'
    functionAppId: functionApp.id
    appStorageId: appStorage.id
  }
}
