// Application Insights on a Log Analytics workspace of its own.

@description('Region of both.')
param location string

@description('Tags of both.')
param tags object

@description('Name of the Log Analytics workspace.')
param logAnalyticsName string

@description('Name of the Application Insights component.')
param applicationInsightsName string

@description('For so many days telemetry is kept.')
@minValue(30)
@maxValue(730)
param retentionDays int = 30

// The most that a fault in a loop costs.
@description('Gigabytes of telemetry a day; what comes after is dropped until the next day.')
@minValue(1)
param dailyCapGb int = 1

resource logAnalytics 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: logAnalyticsName
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionDays
    workspaceCapping: {
      dailyQuotaGb: dailyCapGb
    }
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
    }
  }
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' = {
  name: applicationInsightsName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: logAnalytics.id
    IngestionMode: 'LogAnalytics'
    // The connection string is then only an address: sending telemetry takes a token and a role.
    DisableLocalAuth: true
    // Also in isolation: closing these takes an Azure Monitor Private Link Scope, of which a network has one, so it is
    // not this template's to make. What goes this way is telemetry, over TLS, with a token.
    publicNetworkAccessForIngestion: 'Enabled'
    publicNetworkAccessForQuery: 'Enabled'
  }
}

@description('Resource id of the Log Analytics workspace.')
output logAnalyticsId string = logAnalytics.id

@description('Resource id of the Application Insights component.')
output applicationInsightsId string = applicationInsights.id

@description('Where telemetry is sent to. No secret: local authentication is off.')
output connectionString string = applicationInsights.properties.ConnectionString
