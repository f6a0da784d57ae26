using System.Text.Json;

namespace Penstock.Lab.Tests;

public sealed class QemuDeviceTests
{
    [Fact]
    public void VfioUser_WithProperties_IsQemusJson()
    {
        Assert.Equal(
            """{"driver":"vfio-user-pci","id":"vu0","socket":{"type":"unix","path":"/run/d, \"x\".sock"},"x-msg-timeout":9000,"addr":"5","x-no-posted-writes":true}""",
            QemuDevice.VfioUser("/run/d, \"x\".sock", "vu0", new Dictionary<string, object> { ["x-msg-timeout"] = 9000, ["addr"] = "5", ["x-no-posted-writes"] = true }));
    }

    [Fact]
    public void VfioUser_RelativeSocket_BecomesAbsolute()
    {
        using var json = JsonDocument.Parse(QemuDevice.VfioUser("d.sock", "a"));
        Assert.Equal(Path.GetFullPath("d.sock"), json.RootElement.GetProperty("socket").GetProperty("path").GetString());
    }

    [Fact]
    public void VfioUser_PropertyOfAnotherType_IsNamed()
    {
        var error = Assert.Throws<ArgumentException>(() => QemuDevice.VfioUser("d", "a", new Dictionary<string, object> { ["addr"] = 1.5 }));
        Assert.Contains("property addr", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Zpci_Identity_IsQemusText()
    {
        Assert.Equal("zpci,uid=7,fid=9,target=vu0", QemuDevice.Zpci(7, 9, "vu0"));
        Assert.Throws<ArgumentOutOfRangeException>(() => QemuDevice.Zpci(0, 9, "vu0"));
    }
}
