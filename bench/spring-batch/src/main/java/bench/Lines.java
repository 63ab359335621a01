package bench;

import java.math.BigDecimal;
import java.sql.Timestamp;
import java.sql.Types;
import java.util.UUID;

import javax.sql.DataSource;

import com.zaxxer.hikari.HikariDataSource;
import org.springframework.batch.core.BatchStatus;
import org.springframework.batch.core.configuration.support.JdbcDefaultBatchConfiguration;
import org.springframework.batch.core.job.Job;
import org.springframework.batch.core.job.JobExecution;
import org.springframework.batch.core.job.builder.JobBuilder;
import org.springframework.batch.core.job.parameters.JobParametersBuilder;
import org.springframework.batch.core.launch.JobOperator;
import org.springframework.batch.core.repository.JobRepository;
import org.springframework.batch.core.step.Step;
import org.springframework.batch.core.step.builder.StepBuilder;
import org.springframework.batch.infrastructure.item.database.JdbcBatchItemWriter;
import org.springframework.batch.infrastructure.item.database.builder.JdbcBatchItemWriterBuilder;
import org.springframework.batch.infrastructure.item.file.FlatFileItemReader;
import org.springframework.batch.infrastructure.item.file.builder.FlatFileItemReaderBuilder;
import org.springframework.batch.infrastructure.item.file.transform.FieldSet;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.io.FileSystemResource;
import org.springframework.jdbc.support.JdbcTransactionManager;
import org.springframework.transaction.PlatformTransactionManager;

/**
 * The file of invoice lines into PostgreSQL, as the manual of Spring Batch has
 * it: FILE JDBC-URL USER CHUNK. The repository of jobs lies in the same database.
 */
@Configuration
public class Lines extends JdbcDefaultBatchConfiguration {
    private static final String[] COLUMNS = {
        "line_id", "invoice_no", "stock_code", "description", "quantity", "unit_price", "sold_at",
        "customer_id", "country"
    };
    private static final String INSERT = "INSERT INTO line (" + String.join(", ", COLUMNS)
        + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";

    record Line(long lineId, String invoiceNo, String stockCode, String description, int quantity,
                BigDecimal unitPrice, Timestamp soldAt, Integer customerId, String country) {

        static Line of(FieldSet fields) {
            String customer = fields.readString("customer_id");
            return new Line(
                fields.readLong("line_id"), fields.readString("invoice_no"),
                fields.readString("stock_code"), fields.readString("description"),
                fields.readInt("quantity"), fields.readBigDecimal("unit_price"),
                Timestamp.valueOf(fields.readString("sold_at")),
                customer.isEmpty() ? null : Integer.valueOf(customer),
                fields.readString("country"));
        }
    }

    @Bean(destroyMethod = "close")
    HikariDataSource dataSource() {
        HikariDataSource source = new HikariDataSource();
        source.setJdbcUrl(System.getProperty("bench.url"));
        source.setUsername(System.getProperty("bench.user"));
        source.setMaximumPoolSize(2);
        return source;
    }

    @Bean
    PlatformTransactionManager transactionManager(DataSource source) {
        return new JdbcTransactionManager(source);
    }

    @Bean
    FlatFileItemReader<Line> reader() {
        return new FlatFileItemReaderBuilder<Line>()
            .name("lines")
            .resource(new FileSystemResource(System.getProperty("bench.file")))
            .linesToSkip(1)
            .delimited()
            .names(COLUMNS)
            .fieldSetMapper(Line::of)
            .build();
    }

    @Bean
    JdbcBatchItemWriter<Line> writer(DataSource source) {
        return new JdbcBatchItemWriterBuilder<Line>()
            .dataSource(source)
            .sql(INSERT)
            .itemPreparedStatementSetter((line, statement) -> {
                statement.setLong(1, line.lineId());
                statement.setString(2, line.invoiceNo());
                statement.setString(3, line.stockCode());
                statement.setString(4, line.description());
                statement.setInt(5, line.quantity());
                statement.setBigDecimal(6, line.unitPrice());
                statement.setTimestamp(7, line.soldAt());
                statement.setObject(8, line.customerId(), Types.INTEGER);
                statement.setString(9, line.country());
            })
            .build();
    }

    @Bean
    Job job(JobRepository repository, PlatformTransactionManager transactions,
            FlatFileItemReader<Line> reader, JdbcBatchItemWriter<Line> writer) {
        Step step = new StepBuilder("lines", repository)
            .<Line, Line>chunk(Integer.getInteger("bench.chunk"))
            .transactionManager(transactions)
            .reader(reader)
            .writer(writer)
            .build();
        return new JobBuilder("lines", repository).start(step).build();
    }

    public static void main(String[] args) throws Exception {
        System.setProperty("bench.file", args[0]);
        System.setProperty("bench.url", args[1]);
        System.setProperty("bench.user", args[2]);
        System.setProperty("bench.chunk", args[3]);
        try (var context = new AnnotationConfigApplicationContext(Lines.class)) {
            JobExecution run = context.getBean(JobOperator.class).start(
                context.getBean(Job.class),
                new JobParametersBuilder().addString("run", UUID.randomUUID().toString())
                    .toJobParameters());
            if (run.getStatus() != BatchStatus.COMPLETED) {
                run.getAllFailureExceptions().forEach(Throwable::printStackTrace);
                System.exit(1);
            }
        }
    }
}
