using System.Globalization;

namespace Penstock.Guests.Tests;

/// <summary>An NVMe disk as the guest's Linux sees it, found by its serial number and worked by <c>nvme-disk</c>.</summary>
internal sealed class LinuxDisk
{
    /// <summary>How much the files of a disk hold.</summary>
    public const int Mebibytes = 64;

    /// <summary>How much one of them holds; it is written with one fsync.</summary>
    public const int FileMebibytes = 8;

    private readonly GuestShell _shell;
    private readonly string _serial;

    private LinuxDisk(GuestShell shell, string serial)
    {
        _shell = shell;
        _serial = serial;
    }

    /// <summary>The checksum of the files' checksums.</summary>
    public string? Checksum { get; private set; }

    /// <summary>Loads the driver and waits for the disk. Needed after each boot; <paramref name="checksum"/> is that of before.</summary>
    public static async Task<LinuxDisk> FindAsync(GuestShell shell, string serial, string? checksum = null)
    {
        var disk = new LinuxDisk(shell, serial) { Checksum = checksum };
        await shell.RunAsync("modprobe nvme");
        string[] found = (await disk.AskAsync("wait")).Split(' ');
        Assert.StartsWith("nvme", found[0], StringComparison.Ordinal);
        await shell.RunAsync($"disk=/dev/{found[0]}; slot={found[1]}; [ -b $disk ]");
        return disk;
    }

    /// <summary>A file system with files of random content.</summary>
    public async Task FillAsync(int mebibytes = Mebibytes)
    {
        await RunAsync("format");
        Checksum = await AskAsync(Invariant($"fill {mebibytes}"));
    }

    /// <summary>Reads every file from the disk and compares.</summary>
    public async Task VerifyAsync() => Assert.Equal(Checksum, await AskAsync("verify"));

    public Task RebindAsync() => RunAsync("rebind");

    public Task ReloadAsync() => RunAsync("reload");

    public Task ResetWhileBusyAsync(int times) => RunAsync(Invariant($"reset {times}"));

    public Task ReadManyAtOnceAsync(int mebibytes) => RunAsync(Invariant($"load {mebibytes}"));

    public async Task<long> TrimAsync() => long.Parse(await AskAsync("trim"), CultureInfo.InvariantCulture);

    /// <summary>I/Os that have completed since the disk came, and interrupts of its I/O queues.</summary>
    public async Task<(long Ios, long Interrupts)> CountAsync()
    {
        string[] counts = (await AskAsync("counts")).Split(' ');
        return (long.Parse(counts[0], CultureInfo.InvariantCulture), long.Parse(counts[1], CultureInfo.InvariantCulture));
    }

    /// <summary>The kernel has no error of a disk in its log.</summary>
    public async Task VerifyNoErrorsAsync() => Assert.Equal("0", await AskAsync("errors"));

    /// <summary>
    /// What every disk goes through in every machine: files with checksums, read back after the driver was taken away and given back, after
    /// resets of the busy controller, and after the driver was unloaded and loaded.
    /// </summary>
    public async Task WorkAsync(int mebibytes = Mebibytes)
    {
        await FillAsync(mebibytes);
        await RebindAsync();
        await VerifyAsync();
        await ResetWhileBusyAsync(times: 3);
        await ReloadAsync();
        await VerifyAsync();
        await VerifyNoErrorsAsync();
    }

    private async Task RunAsync(string command) => Assert.Empty(await _shell.RunAsync(Of(command)));

    private Task<string> AskAsync(string command) => _shell.AskAsync(Of(command));

    private string Of(string command) => command.Split(' ', 2) is [string word, string number]
        ? $"nvme-disk {word} {_serial} {number}"
        : $"nvme-disk {command} {_serial}";

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}
