using Penstock.Lab;

namespace Penstock.Guests.Tests;

/// <summary>
/// QEMU's own NVMe device goes through what ours has to: the judge of the tests themselves.
/// </summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class ReferenceDiskTests(GuestLab lab) : IDisposable
{
    private const long DiskBytes = 160 << 20;
    private const int Boots = 3;
    private static readonly TimeSpan StepTime = TimeSpan.FromMinutes(6);

    private readonly TemporaryFolder _folder = new();

    private string Image => _folder.File("image");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task QemusOwnDisk_SameWork_FindsTheSame()
    {
        await using GuestShell shell = await GuestShell.StartAsync(lab.Lab, Configure([]));
        LinuxDisk disk = await LinuxDisk.FindAsync(shell, "reference");
        await disk.WorkAsync(mebibytes: 16);
        Assert.InRange(await disk.TrimAsync(), 1, DiskBytes);
        await shell.PowerOffAsync();
    }

    [Fact]
    public async Task QemusOwnDisk_BootSector_BootsItThreeTimes()
    {
        await using Guest guest = await Guest.StartAsync(lab.Lab, Configure(BootSector.Create(Boots)) with { BootsFromDisk = true, AllowReboot = true, Timeout = GuestShell.GuestTime });
        for (int boot = 1; boot <= Boots; boot++)
        {
            await guest.ShowsAsync($"{BootSector.Said}{boot}", StepTime);
        }

        await guest.KillAsync();
        Assert.Equal(Boots, BootSector.CountBoots(await File.ReadAllBytesAsync(Image)));
    }

    private GuestConfiguration Configure(byte[] content)
    {
        using (FileStream file = File.Create(Image))
        {
            file.Write(content);
            file.SetLength(DiskBytes);
        }

        return DiskMachines.Plain("nvme,id=disk,drive=image,serial=reference") with
        {
            ExtraArguments = ["-drive", $"if=none,id=image,format=raw,discard=unmap,file={Image}"],
        };
    }
}
