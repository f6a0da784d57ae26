using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

public sealed class DeviceCatalogTests
{
    private static readonly Dictionary<string, string> None = [];

    [Fact]
    public void BuiltIn_EachEntry_MakesAFunctionWithTheListedIds()
    {
        Assert.Equal(["idio16", "edu", "bench", "gpio-mdev", "nvme"], DeviceCatalog.BuiltIn.Entries.Select(entry => entry.Name));
        foreach (var entry in DeviceCatalog.BuiltIn.Entries.Where(entry => entry.ParentFactory is null))
        {
            using var device = DeviceCatalog.BuiltIn.Create(entry.Name, None);
            Assert.Equal(entry.Ids, $"{device.Function.Description.VendorId:x4}:{device.Function.Description.DeviceId:x4}");
        }
    }

    [Fact]
    public void CreateParent_GpioBank_HasTheInstancesAskedFor()
    {
        ServedParent parent = DeviceCatalog.BuiltIn.CreateParent("gpio-mdev", new Dictionary<string, string> { ["instances"] = "3" });
        Assert.Equal(3, parent.Instances.Distinct().Count());
        Assert.Equal(3, parent.Driver.MaxInstances);
        string uuid = parent.Instances[0].ToString();
        Assert.Equal(
            [parent.Instances[0]],
            DeviceCatalog.BuiltIn.CreateParent("gpio-mdev", new Dictionary<string, string> { ["instances"] = "1", ["uuids"] = uuid }).Instances);
    }

    [Theory]
    [InlineData("instances", "0", "0 is out of range; allowed are 1 to 64")]
    [InlineData("uuids", "83b8f4f2", "'83b8f4f2' is not a UUID")]
    [InlineData("uuids", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", "2 different UUIDs are needed")]
    [InlineData("uuids", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001,83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", "2 different UUIDs are needed")]
    public void CreateParent_BadOption_SaysWhatIsRight(string name, string value, string expected)
    {
        var error = Assert.Throws<VfioException>(
            () => DeviceCatalog.BuiltIn.CreateParent("gpio-mdev", new Dictionary<string, string> { [name] = value }));
        Assert.Equal(Errno.EINVAL, error.Errno);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Create_ParentForDeviceOrTheOtherWayRound_EINVAL()
    {
        Assert.Equal(Errno.EINVAL, Assert.Throws<VfioException>(() => DeviceCatalog.BuiltIn.Create("gpio-mdev", None)).Errno);
        Assert.Equal(Errno.EINVAL, Assert.Throws<VfioException>(() => DeviceCatalog.BuiltIn.CreateParent("idio16", None)).Errno);
        Assert.Throws<ArgumentException>(() => new DeviceCatalog([new DeviceEntry { Name = "x", Summary = "x", VendorId = 1, DeviceId = 1 }]));
    }

    [Fact]
    public void Create_UnknownDevice_NamesTheKnownOnes()
    {
        var error = Assert.Throws<VfioException>(() => DeviceCatalog.BuiltIn.Create("floppy", None));
        Assert.Equal(Errno.ENODEV, error.Errno);
        Assert.Contains("floppy", error.Message, StringComparison.Ordinal);
        Assert.Contains("idio16, edu, bench, gpio-mdev, nvme", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("colour", "red", "there is no such option; the device takes inputs")]
    [InlineData("inputs", "", "its value is empty; give MASK, or leave the option out")]
    [InlineData("inputs", "0x", "'0x' is not a number")]
    [InlineData("inputs", "-1", "'-1' is not a number")]
    [InlineData("inputs", "99999999999999999999", "is not a number")]
    [InlineData("inputs", "65536", "65536 is out of range; allowed are 0 to 65535")]
    [InlineData("inputs", "0x10000", "0x10000 is out of range; allowed are 0x0 to 0xffff")]
    public void Create_BadOption_SaysWhichWhyAndWhatIsRight(string name, string value, string expected)
    {
        var error = Assert.Throws<VfioException>(
            () => DeviceCatalog.BuiltIn.Create("idio16", new Dictionary<string, string> { [name] = value }));
        Assert.Equal(Errno.EINVAL, error.Errno);
        Assert.Contains($"option '{name}' of device 'idio16'", error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Create_OptionThatMustBeGiven_IsAskedFor()
    {
        var catalog = new DeviceCatalog([Entry("disk", new DeviceOption("file", "PATH", null, "what to serve"))]);
        var error = Assert.Throws<VfioException>(() => catalog.Create("disk", None));
        Assert.Contains("give file=PATH", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Create_OptionsOfADeviceWithout_AreRefused()
    {
        var catalog = new DeviceCatalog([Entry("plain")]);
        var error = Assert.Throws<VfioException>(() => catalog.Create("plain", new Dictionary<string, string> { ["a"] = "b" }));
        Assert.Contains("takes no options", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Catalog_TwoEntriesOfOneName_IsRefused() =>
        Assert.Throws<ArgumentException>(() => new DeviceCatalog([Entry("twin"), Entry("twin")]));

    [Fact]
    public void Create_Inputs_SetsTheLevels()
    {
        using var device = DeviceCatalog.BuiltIn.Create("idio16", new Dictionary<string, string> { ["inputs"] = "0x8001" });
        Assert.Equal(0x8001, Assert.IsType<Idio16Function>(device.Function).Inputs);
    }

    private static DeviceEntry Entry(string name, params DeviceOption[] options) => new()
    {
        Name = name,
        Summary = "for tests",
        VendorId = 1,
        DeviceId = 2,
        Options = options,
        Factory = _ => new ServedDevice(new BenchFunction()),
    };
}
