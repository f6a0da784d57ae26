namespace Penstock.Interop.Tests.Sockets;

/// <summary>Memory files that can be told from each other by their file number, to be passed over sockets.</summary>
internal sealed class PassedFiles : IDisposable
{
    private readonly MemoryFile[] _files;
    private readonly ulong[] _inodes;

    public PassedFiles(int count)
    {
        _files = [.. Enumerable.Range(0, count).Select(static i => MemoryFile.Create($"passed {i}", 0))];
        _inodes = [.. _files.Select(static f => FileFacts.Of(f.Descriptor.Value).Inode)];
    }

    public int[] Numbers(int first, int count) => [.. _files.Skip(first).Take(count).Select(static f => f.Descriptor.Value)];

    /// <summary>Which of the files a received descriptor is.</summary>
    public int IndexOf(OwnedDescriptor received) => Array.IndexOf(_inodes, FileFacts.Of(received.Value).Inode);

    public void Dispose() => Array.ForEach(_files, static f => f.Dispose());
}
