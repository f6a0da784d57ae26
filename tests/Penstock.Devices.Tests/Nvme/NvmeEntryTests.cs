using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>The disk as the catalog makes it: options, their errors, and the console.</summary>
public sealed class NvmeEntryTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Image => _folder.File("disk.img");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Create_WithoutOptions_IsADiskInMemory()
    {
        using ServedDevice device = Create();
        string status = Ask(device, "status");
        Assert.Contains("memory of 67108864 bytes", status, StringComparison.Ordinal);
        Assert.Contains("131072 of 512 bytes", status, StringComparison.Ordinal);
        Assert.Contains("not enabled", status, StringComparison.Ordinal);
        Assert.Contains("read        0 commands, 0 bytes", Ask(device, "counters"), StringComparison.Ordinal);
        Assert.Contains("status", Ask(device, "help"), StringComparison.Ordinal);
        Assert.Equal("", Ask(device, "  "));
        Assert.False(device.Console!.Execute("status now").Succeeded);
        DeviceReply wrong = device.Console!.Execute("format");
        Assert.Equal((false, "format: no such command; try status, counters or help"), (wrong.Succeeded, wrong.Text));
    }

    [Fact]
    public void Create_ImageWithASize_MakesItAndKeepsItsIdentity()
    {
        string serial;
        using (ServedDevice device = Create(("image", Image), ("size", "16m"), ("block-size", "4096")))
        {
            string status = Ask(device, "status");
            Assert.Contains($"{Image}, 16777216 bytes", status, StringComparison.Ordinal);
            Assert.Contains("4096 of 4096 bytes", status, StringComparison.Ordinal);
            serial = SerialOf(status);
            Refused(Errno.EBUSY, "another server has it in use", ("image", Image));
        }

        using (ServedDevice again = Create(("image", Image), ("read-only", "true")))
        {
            Assert.Equal(serial, SerialOf(Ask(again, "status")));
            Assert.Contains("read-only", Ask(again, "status"), StringComparison.Ordinal);
        }

        using ServedDevice named = Create(("image", Image), ("serial", "MINE"));
        Assert.Equal("MINE", SerialOf(Ask(named, "status")));
    }

    [Fact]
    public void Create_Incoming_WaitsForTheImage()
    {
        using ServedDevice source = Create(("image", Image), ("size", "1M"));
        using ServedDevice target = Create(("image", Image), ("incoming", "true"));
        Assert.Contains("not in use", Ask(target, "status"), StringComparison.Ordinal);
        Assert.Equal(SerialOf(Ask(source, "status")), SerialOf(Ask(target, "status")));
    }

    [Theory]
    [InlineData("image", "", "its value is empty; give PATH, or leave the option out")]
    [InlineData("size", "", "its value is empty")]
    [InlineData("size", "0", "'0' is not a size")]
    [InlineData("size", "-1", "'-1' is not a size")]
    [InlineData("size", "M", "'M' is not a size")]
    [InlineData("size", "1.5G", "'1.5G' is not a size; write a number of bytes, or one with K, M, G or T behind it")]
    [InlineData("size", "99999999999T", "more than the largest file")]
    [InlineData("size", "1000", "1000 bytes are not a whole number of blocks of 512 bytes")]
    [InlineData("block-size", "1024", "a block of 1024 bytes is not possible; give 512 or 4096")]
    [InlineData("block-size", "big", "'big' is not a number")]
    [InlineData("serial", "0123456789012345678901", "at most 20 letters")]
    [InlineData("serial", "a b", "without blanks")]
    [InlineData("queues", "0", "0 is out of range; allowed are 1 to")]
    [InlineData("queues", "100000", "is out of range")]
    [InlineData("poll", "maybe", "'maybe' is neither true nor false")]
    [InlineData("read-only", "true", "a disk in memory cannot be so; give --image PATH")]
    [InlineData("incoming", "true", "a disk in memory cannot be so; give --image PATH")]
    public void Create_BadOption_SaysWhichAndWhatIsRight(string name, string value, string expected)
    {
        VfioException error = Refused(Errno.EINVAL, expected, (name, value));
        Assert.Contains($"option '{name}' of device 'nvme'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Create_ImageThatCannotBe_NamesItAndTheRemedy()
    {
        Refused(Errno.ENOENT, $"image '{Image}': there is no such file; give a size as well", ("image", Image));
        Refused(Errno.EISDIR, $"image '{_folder.Path}': it is a directory", ("image", _folder.Path));
        File.WriteAllBytes(Image, new byte[4608]);
        Refused(Errno.EINVAL, "4608 bytes are not a whole number of blocks of 4096 bytes", ("image", Image), ("block-size", "4096"));
        Refused(Errno.EINVAL, "it has 4608 bytes, not 1048576", ("image", Image), ("size", "1M"));
    }

    private static ServedDevice Create(params (string Name, string Value)[] options) =>
        DeviceCatalog.BuiltIn.Create("nvme", options.ToDictionary(o => o.Name, o => o.Value));

    private static VfioException Refused(Errno errno, string why, params (string Name, string Value)[] options)
    {
        VfioException error = Assert.Throws<VfioException>(() => Create(options).Dispose());
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.Equal(errno, error.Errno);
        return error;
    }

    private static string Ask(ServedDevice device, string line)
    {
        DeviceReply reply = device.Console!.Execute(line);
        Assert.True(reply.Succeeded, reply.Text);
        return reply.Text;
    }

    private static string SerialOf(string status) => status.Split('\n').Single(l => l.StartsWith("serial ", StringComparison.Ordinal))["serial ".Length..].Trim();
}
