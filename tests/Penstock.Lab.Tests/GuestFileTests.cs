namespace Penstock.Lab.Tests;

public sealed class GuestFileTests
{
    [Theory]
    [InlineData("relative")]
    [InlineData("/")]
    [InlineData("/a//b")]
    [InlineData("/a/")]
    [InlineData("/a/../b")]
    [InlineData("/./a")]
    [InlineData("/a\0b")]
    public void FromText_BadPath_IsRefusedWithItsName(string path)
    {
        var error = Assert.Throws<ArgumentException>(() => GuestFile.FromText(path, ""));
        Assert.Contains("give an absolute path", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/init")]
    [InlineData("/lab/script")]
    public void FromText_PathOfTheLab_IsRefused(string path)
    {
        Assert.Contains("belong to the lab", Assert.Throws<ArgumentException>(() => GuestFile.FromText(path, "")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FromBytes_ModeWithTypeBits_IsRefused()
    {
        Assert.Throws<ArgumentException>(() => GuestFile.FromBytes("/a", [], (UnixFileMode)0x81A4));
    }

    [Fact]
    public void FromText_WindowsLines_BecomeLinuxLines()
    {
        using var reader = new StreamReader(GuestFile.FromText("/a", "x\r\ny\n").Open());
        Assert.Equal("x\ny\n", reader.ReadToEnd());
    }

    [Fact]
    public void FromHostFolder_NestedFiles_KeepPathsAndModes()
    {
        using var folder = new TemporaryFolder();
        folder.Program("app/bin/run", "true");
        File.WriteAllText(folder.File("app/data"), "1");
        var files = GuestFile.FromHostFolder("/opt/app", folder.File("app"));
        Assert.Equal(["/opt/app/bin/run", "/opt/app/data"], files.Select(f => f.Path));
        Assert.True(files[0].Mode.HasFlag(UnixFileMode.UserExecute));
        Assert.False(files[1].Mode.HasFlag(UnixFileMode.UserExecute));
    }

    [Fact]
    public void FromHost_AbsentFile_NamesBothPaths()
    {
        var error = Assert.Throws<FileNotFoundException>(() => GuestFile.FromHost("/a", "/nowhere/at/all"));
        Assert.Contains("/nowhere/at/all is to become /a", error.Message, StringComparison.Ordinal);
    }
}
