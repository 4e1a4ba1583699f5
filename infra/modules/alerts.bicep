// Who is told of what: log alerts on what the app records (infra/alerts.json), metric alerts on what Event Grid could not
// deliver. Without an address nobody is told, but every alert is still seen in the portal.

@description('Region of the log alerts.')
param location string

@description('Tags of everything here.')
param tags object

@description('Resource id of the Application Insights component.')
param applicationInsightsId string

@description('Resource id of its Log Analytics workspace.')
param workspaceId string

@description('Who is told; empty for nobody.')
param alertEmail string

@description('Resource ids of the Event Grid system topics.')
param topicIds array

var table = any(loadJsonContent('../alerts.json'))
var scopeOf = {
  app: applicationInsightsId
  logs: workspaceId
}
var told = empty(alertEmail) ? [] : [people.id]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(alertEmail)) {
  name: 'ag-relearn'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'relearn'
    enabled: true
    emailReceivers: [
      {
        name: 'operators'
        emailAddress: alertEmail
        useCommonAlertSchema: true
      }
    ]
  }
}

resource logAlerts 'Microsoft.Insights/scheduledQueryRules@2021-08-01' = [
  for alert in table.alerts: {
    name: 'relearn-${alert.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: alert.title
      description: alert.description
      enabled: true
      severity: alert.severity
      scopes: [scopeOf[alert.of]]
      evaluationFrequency: alert.every
      windowSize: alert.window
      autoMitigate: alert.closes
      muteActionsDuration: alert.closes ? null : 'PT1H'
      // A new component has no data yet, which the validation of a query may take for a mistake.
      skipQueryValidation: true
      criteria: {
        allOf: [
          {
            query: join(alert.query, '\n')
            timeAggregation: 'Count'
            operator: alert.operator
            threshold: alert.threshold
            dimensions: empty(alert.each) ? [] : [{ name: alert.each, operator: 'Include', values: ['*'] }]
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      actions: {
        actionGroups: told
      }
    }
  }
]

// Could not be delivered for a day, and lie in the container dead-letters.
resource deadLetters 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for topicId in topicIds: {
    name: 'relearn-dead-letters-${last(split(topicId, '/'))}'
    location: 'global'
    tags: tags
    properties: {
      description: 'Event Grid could not deliver events; they are in the container dead-letters of the app\'s storage.'
      enabled: true
      severity: 1
      scopes: [topicId]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT15M'
      autoMitigate: false
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            name: 'dead-letters'
            criterionType: 'StaticThresholdCriterion'
            metricNamespace: 'Microsoft.EventGrid/systemTopics'
            metricName: 'DeadLetteredCount'
            timeAggregation: 'Total'
            operator: 'GreaterThan'
            threshold: 0
          }
        ]
      }
      actions: empty(alertEmail) ? [] : [{ actionGroupId: people.id }]
    }
  }
]

// Could not be put there either: lost. The sweep and a backfill find files and models all the same.
resource dropped 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for topicId in topicIds: {
    name: 'relearn-dropped-events-${last(split(topicId, '/'))}'
    location: 'global'
    tags: tags
    properties: {
      description: 'Event Grid dropped events: it could neither deliver them nor reach the container dead-letters.'
      enabled: true
      severity: 0
      scopes: [topicId]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT15M'
      autoMitigate: false
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            name: 'dropped-events'
            criterionType: 'StaticThresholdCriterion'
            metricNamespace: 'Microsoft.EventGrid/systemTopics'
            metricName: 'DroppedEventCount'
            timeAggregation: 'Total'
            operator: 'GreaterThan'
            threshold: 0
          }
        ]
      }
      actions: empty(alertEmail) ? [] : [{ actionGroupId: people.id }]
    }
  }
]
