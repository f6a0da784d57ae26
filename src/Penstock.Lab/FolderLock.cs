namespace Penstock.Lab;

/// <summary>Keeps a cache folder to one preparing process; the kernel drops the lock when its holder ends in whatever way.</summary>
internal sealed class FolderLock : IAsyncDisposable
{
    // What flock(2) answers when another holds the lock; .NET hands it on as the exception's HResult.
    private const int EWOULDBLOCK = 11;

    private readonly FileStream _file;

    private FolderLock(FileStream file) => _file = file;

    public static async Task<FolderLock> TakeAsync(string folder, IProgress<LabProgress>? progress, CancellationToken cancellation)
    {
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LabException($"the VM lab's folder {folder} cannot be made ({e.Message}); set PENSTOCK_LAB to a folder of yours", e);
        }

        for (var told = false; ; told = true)
        {
            cancellation.ThrowIfCancellationRequested();
            try
            {
                return new FolderLock(new FileStream(Path.Combine(folder, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
            }
            catch (IOException e) when (e.HResult == EWOULDBLOCK)
            {
                if (!told)
                {
                    progress?.Report(new LabProgress($"waiting for another process that prepares {folder}"));
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new LabException($"the VM lab's folder {folder} cannot be written ({e.Message}); set PENSTOCK_LAB to a folder of yours", e);
            }

            await Task.Delay(100, cancellation).ConfigureAwait(false);
        }
    }

    public ValueTask DisposeAsync() => _file.DisposeAsync();
}
