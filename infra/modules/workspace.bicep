// The Azure Machine Learning workspace with what it cannot be without: a storage account, a key vault, a registry.
// Azure Machine Learning gives the workspace's system-assigned identity its rights on these three, and a role on the
// resource group, by itself; so no row of infra/roles.json does: assigning the same role a second time is an error.

@description('Name of the workspace.')
param name string

@description('Region of the workspace and of what it depends on.')
param location string

@description('Tags of all of them.')
param tags object

@description('Name of the workspace\'s own storage account: code, logs, artifacts.')
param storageName string

@description('Name of the key vault.')
param vaultName string

@description('Name of the container registry.')
param registryName string

@description('Resource id of the Application Insights component.')
param applicationInsightsId string

@description('The compute that builds images when the registry is private and its own build service cannot reach it.')
param imageBuildCompute string

@description('Reached through private endpoints only; jobs run in a network that Azure Machine Learning manages.')
param networkIsolation bool

@description('True after a tear-down, while the deleted vault still exists: it cannot be purged, only brought back.')
param recoverVault bool = false

var studioOrigins = [
  'https://mlworkspace.azure.ai'
  'https://ml.azure.com'
  'https://*.ml.azure.com'
  'https://ai.azure.com'
  'https://*.ai.azure.com'
]

var publicAccess = networkIsolation ? 'Disabled' : 'Enabled'

resource storage 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  // checkov:skip=CKV_AZURE_35: Denied by networkIsolation; otherwise there is no network that could be allowed.
  // checkov:skip=CKV_AZURE_43: The check judges the name of the parameter.
  name: storageName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    // checkov:skip=CKV_AZURE_206: Holds what jobs upload on their way; models are in the lake.
    name: 'Standard_LRS'
  }
  properties: {
    accessTier: 'Hot'
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: publicAccess
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: networkIsolation ? 'Deny' : 'Allow'
    }
  }

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      // What Azure Machine Learning sets by itself when it makes the workspace, for its studio in a browser: left out
      // here, the second deployment would take it away.
      cors: {
        corsRules: [
          {
            allowedOrigins: studioOrigins
            allowedMethods: ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'POST', 'PATCH']
            allowedHeaders: ['*']
            exposedHeaders: ['*']
            maxAgeInSeconds: 1800
          }
        ]
      }
      deleteRetentionPolicy: {
        enabled: true
        days: 7
      }
      containerDeleteRetentionPolicy: {
        enabled: true
        days: 7
      }
    }
  }
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  // checkov:skip=CKV_AZURE_189: Closed by networkIsolation; by default the workspace comes from outside.
  // checkov:skip=CKV_AZURE_109: Denied by networkIsolation; otherwise there is no network that could be allowed.
  name: vaultName
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    createMode: recoverVault ? 'recover' : 'default'
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    // The shortest there is: with purge protection this is how long the name is taken after a tear-down.
    softDeleteRetentionInDays: 7
    enablePurgeProtection: true
    // As a string, because checkov's check of a vault fails on a condition.
    publicNetworkAccess: '${publicAccess}'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: networkIsolation ? 'Deny' : 'Allow'
    }
  }
}

resource registry 'Microsoft.ContainerRegistry/registries@2025-04-01' = {
  // checkov:skip=CKV_AZURE_139: Closed by networkIsolation; Basic, the default, has no such switch.
  // checkov:skip=CKV_AZURE_163: Scanning is Defender for Containers', chosen for a subscription and not by a template.
  // checkov:skip=CKV_AZURE_166: Quarantine takes Premium and a scanner that lifts it; packages are pinned.
  name: registryName
  location: location
  tags: tags
  sku: {
    // Only Premium has private endpoints.
    name: networkIsolation ? 'Premium' : 'Basic'
  }
  properties: {
    adminUserEnabled: false
    publicNetworkAccess: publicAccess
    networkRuleBypassOptions: 'AzureServices'
  }
}

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-06-01' = {
  // checkov:skip=CKV_AZURE_243: With networkIsolation, made in main.bicep with all other private endpoints.
  name: name
  location: location
  tags: tags
  kind: 'Default'
  sku: {
    name: 'Basic'
    tier: 'Basic'
  }
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    friendlyName: name
    description: 'Trains, registers and serves the models of Relearn.'
    storageAccount: storage.id
    keyVault: vault.id
    containerRegistry: registry.id
    applicationInsights: applicationInsightsId
    // The account has no keys, so the workspace's own datastores must not ask for one.
    systemDatastoresAuthMode: 'Identity'
    publicNetworkAccess: publicAccess
    v1LegacyMode: false
    // Provisioned with the first compute, not now: by then the workspace's identity may approve its private endpoints.
    managedNetwork: {
      isolationMode: networkIsolation ? 'AllowInternetOutbound' : 'Disabled'
    }
    imageBuildCompute: networkIsolation ? imageBuildCompute : null
  }
}

@description('Region of the workspace: where its endpoints and its system topic must be.')
output location string = workspace.location

@description('Object id of the workspace\'s identity.')
output principalId string = workspace.identity.principalId

@description('Resource id of the workspace\'s storage account.')
output storageId string = storage.id

@description('Resource id of the key vault.')
output vaultId string = vault.id

@description('Resource id of the container registry.')
output registryId string = registry.id
