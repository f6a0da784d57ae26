using Penstock.Lab.Processes;

namespace Penstock.Lab.Tests;

/// <summary>The guest program runs on any x86-64 Linux, so its errors can be seen without a guest.</summary>
public sealed class GpioLinesTests
{
    private static readonly string Sources = Path.Combine(AppContext.BaseDirectory, "guest");

    private static async Task<ToolResult> RunAsync(string program, params string[] arguments) =>
        await Tool.RunAsync(program, arguments, LabEnvironment.OfProcess, CancellationToken.None);

    [Fact]
    public void GpioLines_OtherArchitecture_IsRefusedByName()
    {
        Assert.Contains("not for s390x", Assert.Throws<LabException>(() => GuestPrograms.GpioLines(GuestArchitecture.S390x)).Message, StringComparison.Ordinal);
        Assert.Equal(("/bin/gpio-lines", GuestFile.Executable), (GuestPrograms.GpioLines(GuestArchitecture.X86_64).Path, GuestPrograms.GpioLines(GuestArchitecture.X86_64).Mode));
    }

    [Fact]
    public async Task GpioLines_BuiltAnew_BehavesAsThePrebuiltOne()
    {
        Assert.True(
            LabEnvironment.OfProcess.FindProgram("cc") is not null,
            "this test builds guest/gpio-lines.c and there is no C compiler; install one (apt-get install gcc linux-libc-dev)");
        using var folder = new TemporaryFolder();
        var build = await RunAsync("/bin/sh", Path.Combine(Sources, "build"), folder.Path);
        Assert.True(build.ExitCode == 0, build.Errors);
        string[][] wrongOrFailing =
        [
            [], ["info"], ["read", "/dev/null"], ["get", "/dev/null"], ["get", "/dev/null", "x"], ["set", "/dev/null", "1=2"],
            ["set", "/dev/null", "1"], ["watch", "/dev/null", "1"], ["info", "/dev/null"], ["get", "/dev/null", "1"], ["info", "/nowhere"],
        ];
        foreach (var arguments in wrongOrFailing)
        {
            var prebuilt = await RunAsync(Path.Combine(Sources, "gpio-lines-x86_64"), arguments);
            var rebuilt = await RunAsync(folder.File("gpio-lines-x86_64"), arguments);
            Assert.Equal(prebuilt, rebuilt);
            Assert.NotEqual(0, prebuilt.ExitCode);
        }
    }

    [Theory]
    [InlineData("cannot ask the chip: errno 25", "info", "/dev/null")]
    [InlineData("/nowhere: errno 2", "info", "/nowhere")]
    [InlineData("usage: gpio-lines info CHIP", "set", "/dev/null", "1=2")]
    public async Task GpioLines_CallThatFails_SaysWhatAndWhy(string expected, params string[] arguments)
    {
        Assert.Contains(expected, (await RunAsync(Path.Combine(Sources, "gpio-lines-x86_64"), arguments)).Errors, StringComparison.Ordinal);
    }
}
