namespace Penstock.Cli.Tests;

public sealed class DevicesTests
{
    [Fact]
    public async Task Devices_AsText_ListsEachOnOneLineWithoutControlCharacters()
    {
        ToolResult result = await ToolProcess.RunAsync("devices");

        Assert.Equal(0, result.Status);
        Assert.Empty(result.Errors);
        Assert.Single(result.Output, line => line.StartsWith("idio16 ", StringComparison.Ordinal) && line.Contains("494f:0dc8", StringComparison.Ordinal));
        Assert.Single(result.Output, line => line.StartsWith("idio16 ", StringComparison.Ordinal) && line.Contains("--inputs MASK", StringComparison.Ordinal));
        Assert.All(result.Output, line => Assert.DoesNotContain(line, char.IsControl));
        Assert.All(result.Output, line => Assert.Equal(line.TrimEnd(), line));
    }

    [Fact]
    public async Task Devices_AsText_ColumnsStandBelowTheirTitles()
    {
        string[] lines = (await ToolProcess.RunAsync("devices")).Output;

        int ids = lines[0].IndexOf("IDS", StringComparison.Ordinal);
        Assert.Equal("494f:0dc8", lines[1].Substring(ids, 9));
        Assert.Equal("1234:11e8", lines[2].Substring(ids, 9));
        Assert.Equal("1234:be7c", lines[3].Substring(ids, 9));
    }

    [Fact]
    public async Task Devices_AsJson_OneObjectALine()
    {
        ToolResult result = await ToolProcess.RunAsync("devices", "--json");

        Assert.Equal(0, result.Status);
        Assert.Equal(["idio16", "edu", "bench", "gpio-mdev", "nvme"], result.Objects.Select(o => o.GetProperty("device").GetString()));
        Assert.Equal("inputs", result.Objects[0].GetProperty("options")[0].GetProperty("name").GetString());
    }
}
