using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>The files of a caller in this process: its own descriptors, and numbers far above them for this library's files.</summary>
public sealed class UserFiles : IUserFiles
{
    private const int FirstNumber = 1 << 24;

    private readonly Lock _gate = new();
    private readonly Dictionary<int, object> _files = [];
    private int _next = FirstNumber;

    /// <inheritdoc/>
    public int Install(object file)
    {
        ArgumentNullException.ThrowIfNull(file);
        lock (_gate)
        {
            _files.Add(_next, file);
            return _next++;
        }
    }

    /// <summary>Forgets a number; the file itself is its owner's to dispose.</summary>
    /// <param name="descriptor">The number.</param>
    public void Remove(int descriptor)
    {
        lock (_gate)
        {
            _files.Remove(descriptor);
        }
    }

    /// <inheritdoc/>
    public object? Find(int descriptor)
    {
        lock (_gate)
        {
            return _files.GetValueOrDefault(descriptor);
        }
    }

    /// <inheritdoc/>
    public OwnedDescriptor Duplicate(int descriptor)
    {
        if (descriptor < 0)
        {
            throw new VfioException(Errno.EBADF, $"using descriptor {descriptor}", "it is not open");
        }

        var callers = new OwnedDescriptor(descriptor);
        try
        {
            return callers.Duplicate();
        }
        catch (SystemCallException e)
        {
            throw new VfioException(e.Errno, $"using descriptor {descriptor}", e.Message);
        }
        finally
        {
            callers.Take();
        }
    }
}
