// The function app on Flex Consumption, with one user-assigned identity for everything it does.

@description('Name of the function app.')
param name string

@description('Name of its plan.')
param planName string

@description('Region of both.')
param location string

@description('Tags of both.')
param tags object

@description('Resource id of the identity.')
param identityId string

@description('Client id of the identity.')
param identityClientId string

@description('What shared/settings.py and reactions.yaml read, as one object of setting names and values.')
param productSettings object

@description('Name of the storage account the host uses: the app\'s own.')
param appStorageName string

@description('Address of the container that packages are deployed to.')
param deploymentContainerUri string

@description('Connection string of Application Insights.')
param applicationInsightsConnectionString string

@description('How events come: decides which host settings apply.')
@allowed(['webhook', 'queue'])
param eventDelivery string

@description('The Python that Azure runs the app with.')
@allowed(['3.11', '3.12', '3.13'])
param pythonVersion string

@description('How far each of the app\'s functions may scale out.')
@minValue(1)
@maxValue(1000)
param maximumInstances int

@description('Memory of an instance. The smallest one has a quarter of a core and starts Python accordingly.')
@allowed([512, 2048, 4096])
param instanceMemoryMb int = 2048

@description('Client id of the app registration whose tokens the API takes; empty: it answers health only.')
param apiClientId string

@description('Reached through its private endpoint only.')
param networkIsolation bool

@description('The subnet that outgoing calls go through; empty without network isolation.')
param subnetId string = ''

// One table for what the host needs, with the reason for each. Entries for the sample file only are left out here, and
// so are entries for the other way of delivery.
var table = any(loadJsonContent('../host-settings.json'))
var placed = filter(table.settings, setting => setting.place != 'sample')
var hostTable = filter(placed, setting => !contains(setting, 'when') || setting.when == eventDelivery)

var hostValues = {
  appStorageName: appStorageName
  appClientId: identityClientId
  applicationInsightsConnectionString: applicationInsightsConnectionString
  applicationInsightsAuthentication: 'ClientId=${identityClientId};Authorization=AAD'
}

var hostSettings = [
  for setting in hostTable: {
    name: setting.name
    value: contains(setting, 'value') ? setting.value : hostValues[setting.valueFrom]
  }
]
var ownSettings = [
  for setting in items(productSettings): {
    name: setting.key
    value: setting.value
  }
]

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  // checkov:skip=CKV_AZURE_225: Zone redundancy takes always-ready instances here, which cost while idle.
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  // checkov:skip=CKV_AZURE_17: Callers are Event Grid with its key and people with tokens; neither has a certificate.
  // checkov:skip=CKV_AZURE_222: Closed by networkIsolation; by default Event Grid must reach the webhook.
  // checkov:skip=CKV_AZURE_212: Flex Consumption scales from zero; there is no number of workers to set.
  // checkov:skip=CKV_AZURE_213: Flex Consumption replaces instances by itself; /api/health is for people and alerts.
  name: name
  location: location
  // azd finds the place for the service of this name in azure.yaml by the tag.
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    clientCertEnabled: false
    publicNetworkAccess: networkIsolation ? 'Disabled' : 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: deploymentContainerUri
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
      scaleAndConcurrency: {
        maximumInstanceCount: maximumInstances
        instanceMemoryMB: instanceMemoryMb
      }
    }
    siteConfig: {
      ftpsState: 'Disabled'
      http20Enabled: true
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      remoteDebuggingEnabled: false
      // Whatever was set by hand is gone with the next deployment: these two tables are all there is.
      appSettings: concat(hostSettings, ownSettings)
    }
  }

  // Deployments come with a token of Microsoft Entra; user names and passwords are off for both doors.
  resource noFtpPasswords 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: {
      allow: false
    }
  }

  // Whoever calls without a valid token goes on as nobody: health and Event Grid's webhook need none, and everything
  // else asks for a role itself (shared/access.py). Without it the app is told so, and then nobody has a role.
  resource authentication 'config' = {
    name: 'authsettingsV2'
    properties: {
      platform: {
        enabled: !empty(apiClientId)
      }
      globalValidation: {
        requireAuthentication: false
        unauthenticatedClientAction: 'AllowAnonymous'
      }
      identityProviders: {
        azureActiveDirectory: {
          enabled: !empty(apiClientId)
          registration: {
            clientId: apiClientId
            openIdIssuer: '${environment().authentication.loginEndpoint}${subscription().tenantId}/v2.0'
          }
          validation: {
            allowedAudiences: ['api://${apiClientId}', apiClientId]
          }
        }
      }
      login: {
        tokenStore: {
          enabled: false
        }
      }
      httpSettings: {
        requireHttps: true
      }
    }
  }

  resource noScmPasswords 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: {
      allow: false
    }
  }
}

@description('Resource id of the function app.')
output id string = app.id

@description('Name of the function app.')
output name string = app.name

@description('Where it answers.')
output url string = 'https://${app.properties.defaultHostName}'
