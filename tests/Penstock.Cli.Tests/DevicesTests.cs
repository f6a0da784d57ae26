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

    [Fact]
    [Trait("Row", "S2-6")]
    public async Task Devices_Zpci_EachFunctionsCapabilitiesWithReadableText()
    {
        ToolResult result = await ToolProcess.RunAsync("devices", "--zpci");

        Assert.Equal(0, result.Status);
        Assert.Empty(result.Errors);
        Assert.Single(result.Output, line => line.StartsWith("edu ", StringComparison.Ordinal) && line.EndsWith(" 32  00000000  PENSTOCK EDU", StringComparison.Ordinal));
        Assert.Single(result.Output, line => line.StartsWith("nvme ", StringComparison.Ordinal) && line.Contains("0xfe00000000000000", StringComparison.Ordinal));
        Assert.Single(result.Output, line => line.StartsWith("gpio-mdev: ", StringComparison.Ordinal));
        Assert.All(result.Output, line => Assert.DoesNotContain(line, char.IsControl));
    }

    [Fact]
    [Trait("Row", "S2-6")]
    public async Task Devices_ZpciAsJson_OneObjectALineWithAllCapabilities()
    {
        ToolResult result = await ToolProcess.RunAsync("devices", "--zpci", "--json");

        Assert.Equal(0, result.Status);
        Assert.Equal(["idio16", "edu", "bench", "gpio-mdev", "nvme"], result.Objects.Select(o => o.GetProperty("device").GetString()));
        Assert.Equal("ENODEV", result.Objects[3].GetProperty("errno").GetString());
        foreach (System.Text.Json.JsonElement device in result.Objects.Where(o => !o.TryGetProperty("errno", out _)))
        {
            Assert.Equal(3, device.GetProperty("base").GetProperty("version").GetInt32());
            Assert.Equal(0x1_0000_0000ul, device.GetProperty("base").GetProperty("start_dma").GetUInt64());
            Assert.Equal(2, device.GetProperty("group").GetProperty("version").GetInt32());
            Assert.Equal(1, device.GetProperty("group").GetProperty("flags").GetInt32());
            Assert.StartsWith("PENSTOCK ", device.GetProperty("util").GetString(), StringComparison.Ordinal);
            Assert.Equal("00000000", device.GetProperty("pfip").GetString());
        }
    }
}
