namespace Penstock.Cli.Tests;

public sealed class UsageTests
{
    [Theory]
    [InlineData("", "demo, serve, devices, bench, replay")]
    [InlineData("bogus", "'bogus'", "demo, serve, devices, bench, replay")]
    [InlineData("--bogus", "'--bogus'")]
    [InlineData("devices extra", "penstock devices:", "'extra'")]
    [InlineData("demo bogus", "penstock demo:", "'bogus'", "idio16")]
    [InlineData("demo bench", "'bench'", "penstock serve bench")]
    [InlineData("demo --bogus", "'--bogus'", "--help")]
    [InlineData("demo idio16 extra", "'extra'")]
    [InlineData("demo --guest", "--guest ARCHITECTURE")]
    [InlineData("demo --guest mips", "'mips'", "x86_64")]
    [InlineData("demo --guest s390x", "s390x", "x86_64")]
    [InlineData("demo --guest ppc64le", "ppc64le", "x86_64")]
    [InlineData("demo nvme --guest mips", "'mips'", "x86_64 or s390x or ppc64le")]
    [InlineData("demo --console", "--console", "--guest")]
    [InlineData("demo nvme --rpcit shadow", "--rpcit", "--guest s390x")]
    [InlineData("demo nvme --guest x86_64 --rpcit shadow", "--rpcit", "--guest s390x")]
    [InlineData("demo nvme --guest s390x --rpcit fast", "'fast'", "fallback, shadow, nested")]
    [InlineData("demo nvme --guest s390x --rpcit", "--rpcit PATH")]
    [InlineData("serve", "penstock serve:", "idio16, edu, bench")]
    [InlineData("serve bogus", "'bogus'", "idio16, edu, bench")]
    [InlineData("serve --socket x bogus", "'bogus'", "idio16, edu, bench")]
    [InlineData("serve idio16", "--socket PATH")]
    [InlineData("serve idio16 --socket", "--socket PATH")]
    [InlineData("serve idio16 --socket a --socket b", "--socket", "once")]
    [InlineData("serve idio16 --socket a extra", "'extra'")]
    [InlineData("serve idio16 --socket a --limit 3", "'--limit'")]
    [InlineData("serve idio16 --socket a --inputs zz", "'inputs'", "'zz'", "0x")]
    [InlineData("serve idio16 --socket a --inputs 0x10000", "0x10000", "0xffff")]
    [InlineData("serve idio16 --socket a --cpu x", "--cpu", "'x'")]
    [InlineData("serve idio16 --socket a --cpu -1", "--cpu", "'-1'")]
    [InlineData("serve idio16 --socket a --cpu 1023", "--cpu 1023")]
    [InlineData("serve nvme --socket a --image b --rpcit fast", "'fast'", "fallback, shadow, nested")]
    [InlineData("serve idio16 --socket a --rpcit shadow", "--rpcit", "MSI-X")]
    [InlineData("serve nvme --socket a --image ''", "'image'", "empty", "PATH")]
    [InlineData("bench", "penstock bench:", "messages")]
    [InlineData("bench bogus", "'bogus'", "messages")]
    [InlineData("bench messages --rounds 1 --measures nothing*", "--measures", "'nothing*'", "region_read_4")]
    [InlineData("bench messages --rounds 1 --measures region_*:x", "--measures", "'x'")]
    [InlineData("bench messages --client /does/not/exist", "'/does/not/exist'", "bench/messages")]
    [InlineData("bench messages --client /bin/true --floor /does/not/exist", "--floor", "'/does/not/exist'")]
    [InlineData("bench messages --client /bin/true --rounds 0", "--rounds", "'0'")]
    [InlineData("bench messages --client /bin/true --operations x", "--operations", "'x'")]
    [InlineData("replay", "penstock replay:", "zpci")]
    [InlineData("replay zpci", "'penstock replay zpci --help'")]
    [InlineData("replay zpci /does/not/exist.json", "'/does/not/exist.json'", "LABEL.tables.gz")]
    [InlineData("replay zpci /does/not/exist.calls.txt.gz", "'/does/not/exist.calls.txt.gz'", "LABEL.calls.txt")]
    [InlineData("replay zpci /etc/passwd", "'/etc/passwd'", "LABEL.json")]
    [InlineData("replay zpci a.json --at probe", "'a.json'", "--at")]
    [InlineData("replay zpci a.txt --function zz", "--function 'zz'")]
    [InlineData("replay zpci a.txt --limit 0", "--limit '0'")]
    public async Task CommandLine_Wrong_OneLineAndStatus2(string arguments, params string[] texts)
    {
        using var folder = new TemporaryFolder();
        string[] words = [.. arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(word => word == "''" ? "" : word)];
        ToolResult result = await ToolProcess.EndAsync(new ToolProcess(WorkingCopy.Program, words, folder: folder.Path));

        result.AssertRefused(2, texts);
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path));
    }

    [Theory]
    [InlineData("--help", "demo <DEVICE>")]
    [InlineData("demo --help", "--guest <ARCHITECTURE>")]
    [InlineData("serve --help", "idio16")]
    [InlineData("serve idio16 --help", "--socket <PATH>")]
    [InlineData("bench messages --help", "--rounds <N>")]
    [InlineData("replay zpci --help", "LABEL.tables.gz")]
    public async Task Help_IsOnStandardOutput_Status0(string arguments, string text)
    {
        ToolResult result = await ToolProcess.RunAsync(arguments.Split(' '));

        Assert.Equal(0, result.Status);
        Assert.Empty(result.Errors);
        Assert.Contains(result.Output, line => line.Contains(text, StringComparison.Ordinal));
    }
}
