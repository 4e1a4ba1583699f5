// One workbook on what the app records (the charts of infra/workbook.json) and on what Event Grid delivered.

@description('Region of the workbook.')
param location string

@description('Tags of the workbook.')
param tags object

@description('Resource id of the Application Insights component.')
param applicationInsightsId string

@description('Resource ids of the Event Grid system topics; empty to leave their chart out.')
param topicIds array = []

var table = any(loadJsonContent('../workbook.json'))
var hour = 3600000
var topicMetrics = ['DeliverySuccessCount', 'DeliveryAttemptFailCount', 'DeadLetteredCount', 'DroppedEventCount']

var times = [
  {
    type: 9
    name: 'times'
    content: {
      version: 'KqlParameterItem/1.0'
      style: 'pills'
      queryType: 0
      resourceType: 'microsoft.insights/components'
      parameters: [
        {
          id: guid('relearn', 'times')
          version: 'KqlParameterItem/1.0'
          name: 'TimeRange'
          label: 'Time'
          type: 4
          isRequired: true
          value: {
            durationMs: 24 * hour
          }
          typeSettings: {
            selectableValues: [
              { durationMs: hour }
              { durationMs: 24 * hour }
              { durationMs: 168 * hour }
              { durationMs: 720 * hour }
            ]
            allowCustom: true
          }
        }
      ]
    }
  }
]

var charts = [
  for chart in table.charts: {
    type: 3
    name: chart.name
    content: {
      version: 'KqlItem/1.0'
      query: join(chart.query, '\n')
      size: 0
      title: chart.title
      timeContextFromParameter: 'TimeRange'
      queryType: 0
      resourceType: 'microsoft.insights/components'
      crossComponentResources: [applicationInsightsId]
      visualization: chart.visualization
      showExportToExcel: true
    }
  }
]

// How a workbook spells a metric's name, with nothing where others have a category, is taken from exported ones.
var metrics = [
  for metric in topicMetrics: {
    namespace: 'microsoft.eventgrid/systemtopics'
    metric: 'microsoft.eventgrid/systemtopics--${metric}'
    aggregation: 1
    splitBy: null
  }
]
var deliveries = [
  {
    type: 10
    name: 'deliveries'
    content: {
      chartId: guid('relearn', 'deliveries')
      version: 'MetricsItem/2.0'
      size: 0
      title: 'Event Grid: delivered, tried in vain, dead letters, dropped'
      chartType: 2
      resourceType: 'microsoft.eventgrid/systemtopics'
      metricScope: 0
      resourceIds: topicIds
      timeContextFromParameter: 'TimeRange'
      metrics: metrics
    }
  }
]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'relearn-workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Relearn'
    category: 'workbook'
    version: 'Notebook/1.0'
    sourceId: applicationInsightsId
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat(times, charts, empty(topicIds) ? [] : deliveries)
      fallbackResourceIds: [applicationInsightsId]
      '$schema': 'https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json'
    })
  }
}
