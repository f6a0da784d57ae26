using Penstock.Devices;

namespace Penstock.Cli.Demo;

/// <summary>An image for a demonstration's disk.</summary>
internal static class NvmeDemoImage
{
    /// <summary>Makes a file of zeroes that is gone when the disk is.</summary>
    /// <exception cref="IOException">No file can be made.</exception>
    public static FileNvmeBacking Make(ulong size)
    {
        using var folder = new TemporaryFolder();
        return FileNvmeBacking.Open(folder.File("image"), createLength: size);
    }
}
