using Penstock.Lab.Processes;

namespace Penstock.Lab.Tests;

/// <summary>The guest program runs on any x86-64 Linux, so its usage can be seen without a guest.</summary>
public sealed class VfioEduTests
{
    private static readonly string Sources = Path.Combine(AppContext.BaseDirectory, "guest");

    [Fact]
    public void VfioEdu_OtherArchitecture_IsRefusedByName()
    {
        Assert.Contains("not for ppc64le", Assert.Throws<LabException>(() => GuestPrograms.VfioEdu(GuestArchitecture.Ppc64le)).Message, StringComparison.Ordinal);
        Assert.Equal(("/bin/vfio-edu", GuestFile.Executable), (GuestPrograms.VfioEdu(GuestArchitecture.X86_64).Path, GuestPrograms.VfioEdu(GuestArchitecture.X86_64).Mode));
    }

    [Theory]
    [InlineData]
    [InlineData("/dev/vfio/1", "0000:00:03.0")]
    [InlineData("/dev/vfio/1", "0000:00:03.0", "63")]
    [InlineData("/dev/vfio/1", "0000:00:03.0", "16385")]
    [InlineData("/dev/vfio/1", "0000:00:03.0", "99999999999999999999")]
    [InlineData("/dev/vfio/1", "0000:00:03.0", "-64")]
    [InlineData("/dev/vfio/1", "0000:00:03.0", "64", "65")]
    public async Task VfioEdu_WrongUsage_IsExplainedWithStatus2(params string[] arguments)
    {
        ToolResult prebuilt = await Tool.RunAsync(
            Path.Combine(Sources, "vfio-edu-x86_64"), arguments, LabEnvironment.OfProcess, CancellationToken.None);
        Assert.Equal((2, "usage: vfio-edu GROUP DEVICE PAGES\n"), (prebuilt.ExitCode, prebuilt.Errors));
    }
}
