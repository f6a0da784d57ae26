using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>The catalog's entry for the NVMe disk.</summary>
internal static class NvmeEntry
{
    private const string Image = "image";
    private const string Size = "size";
    private const string ReadOnly = "read-only";
    private const string BlockSize = "block-size";
    private const string Serial = "serial";
    private const string Queues = "queues";
    private const string Poll = "poll";
    private const string Times = "times";
    private const string Incoming = "incoming";
    private const ulong MemorySize = 64 << 20;
    private const char FirstPrintable = '!';
    private const char LastPrintable = '~';

    private static readonly NvmeOptions Defaults = new();

    internal static DeviceEntry Entry { get; } = new()
    {
        Name = "nvme",
        Summary = "an NVMe disk with its blocks in a file or in memory: many queues, MSI-X, shadow doorbells",
        VendorId = NvmeLayout.VendorId,
        DeviceId = NvmeLayout.DeviceId,
        Options =
        [
            new DeviceOption(Image, "PATH", "", "the file with the blocks; without it they are in memory and end with the server"),
            new DeviceOption(Size, "SIZE", "", "size of the disk, such as 64M or 1G: of memory (normally 64M), or of an image that is not there yet and is made"),
            new DeviceOption(ReadOnly, "", DeviceOption.Off, "refuse writes; several servers may then share an image"),
            new DeviceOption(BlockSize, "BYTES", "512", "size of a block, 512 or 4096"),
            new DeviceOption(Serial, "TEXT", "", "serial number, at most 20 characters; normally made of the image's path"),
            new DeviceOption(Queues, "N", Invariant($"{Defaults.IoQueues}"), Invariant($"how many I/O queue pairs the guest may have, 1 to {NvmeOptions.MostIoQueues}")),
            new DeviceOption(Poll, "", DeviceOption.Off, "let the guest map the doorbells and look at them all the time, which takes a processor"),
            new DeviceOption(Times, "", DeviceOption.Off, "sample where the controller's time goes; log page C0h tells it"),
            new DeviceOption(Incoming, "", DeviceOption.Off, "be the destination of a migration: use the image when the other server has let go of it"),
        ],
        Factory = Create,
    };

    private static ServedDevice Create(DeviceOptions options)
    {
        ulong blockSize = options.GetNumber(BlockSize, 0, ulong.MaxValue);
        if (!NvmeNamespace.IsBlockSize(blockSize))
        {
            throw options.Refused(BlockSize, $"a block of {blockSize} bytes is not possible; give 512 or 4096");
        }

        string image = options.GetText(Image);
        string serial = SerialOf(options, image);
        var queues = (int)options.GetNumber(Queues, 1, NvmeOptions.MostIoQueues);
        bool poll = options.GetFlag(Poll);
        INvmeBacking backing = image.Length == 0 ? InMemory(options, blockSize) : InFile(options, image, (int)blockSize);
        try
        {
            var function = new NvmeFunction(backing, new NvmeOptions
            {
                BlockSize = (int)blockSize,
                SerialNumber = serial,
                IoQueues = queues,
                Poll = poll,
                Times = options.GetFlag(Times),
            });
            return new ServedDevice(function, new NvmeConsole(function), function);
        }
        catch
        {
            backing.Dispose();
            throw;
        }
    }

    private static MemoryNvmeBacking InMemory(DeviceOptions options, ulong blockSize)
    {
        foreach (string flag in (ReadOnlySpan<string>)[ReadOnly, Incoming])
        {
            if (options.GetFlag(flag))
            {
                throw options.Refused(flag, $"a disk in memory cannot be so; give --{Image} PATH as well");
            }
        }

        ulong size = options.GetSize(Size) ?? MemorySize;
        if (size % blockSize != 0)
        {
            throw options.Refused(Size, $"{size} bytes are not a whole number of blocks of {blockSize} bytes; choose a multiple");
        }

        try
        {
            return new MemoryNvmeBacking(size);
        }
        catch (Interop.SystemCallException e)
        {
            throw options.Refused(Size, $"there is no room for {size} bytes ({e.Errno}); choose a smaller size, or an image");
        }
    }

    private static FileNvmeBacking InFile(DeviceOptions options, string image, int blockSize)
    {
        ulong? size = options.GetSize(Size);
        if (size is ulong wanted && wanted % (ulong)blockSize != 0)
        {
            throw options.Refused(Size, $"{wanted} bytes are not a whole number of blocks of {blockSize} bytes; choose a multiple");
        }

        return FileNvmeBacking.Open(image, blockSize, options.GetFlag(ReadOnly), size, options.GetFlag(Incoming));
    }

    /// <summary>
    /// What the user gave, or else a number that is the same each time the image is served and another for each image: hosts tell disks apart by it.
    /// </summary>
    private static string SerialOf(DeviceOptions options, string image)
    {
        string given = options.GetText(Serial);
        if (given.Length > NvmeIdentifyController.SerialNumberLength || given.Any(c => c is < FirstPrintable or > LastPrintable))
        {
            throw options.Refused(
                Serial, $"'{given}' cannot be one; give at most {NvmeIdentifyController.SerialNumberLength} letters, digits and signs of ASCII, without blanks");
        }

        if (given.Length > 0)
        {
            return given;
        }

        byte[] hash = image.Length == 0
            ? RandomNumberGenerator.GetBytes(sizeof(ulong))
            : SHA256.HashData(Encoding.UTF8.GetBytes(Path.GetFullPath(image)));
        return $"PS{BinaryPrimitives.ReadUInt64BigEndian(hash):X16}";
    }

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}
